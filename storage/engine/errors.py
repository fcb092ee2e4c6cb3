"""The errors of the database engine."""

from __future__ import annotations


class StorageError(Exception):
    """The database cannot run the transaction, for example because the disk is full. None of its changes are kept."""


class CommitFailed(Exception):
    """COMMIT itself failed. Whether the changes are on disk is unknown until the file is read again."""


class MissingReference(Exception):
    """A row would reference a row that does not exist. None of the transaction's changes are kept."""
