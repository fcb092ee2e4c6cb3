"""Group commit: several transactions share one COMMIT, and each of them can fail alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from storage.engine.connection import Connection
from storage.engine.errors import CommitFailed, MissingReference, StorageError


def commit_group(connection: Connection, functions: Sequence[Callable[[Connection], Any]]) -> list[Any]:
    """Run the functions in one transaction. Return for each its result, or the exception that undid it alone.

    Raises StorageError when SQLite rolled the whole transaction back (disk full, I/O error), CommitFailed when COMMIT
    failed.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        run = in_savepoint if len(functions) > 1 else without_savepoint
        outcomes = [run(connection, fn) for fn in functions]
    except sqlite3.Error as fault:
        roll_back(connection)
        raise StorageError(f"the transaction was rolled back: {fault}") from fault
    try:
        if connection.in_transaction:  # a single function that failed has ended the transaction already
            connection.execute("COMMIT")
    except sqlite3.Error as fault:
        roll_back(connection)
        raise CommitFailed(f"commit failed: {fault}") from fault
    return outcomes


def in_savepoint(connection: Connection, fn: Callable[[Connection], Any]) -> Any:
    """Run one function of several. Return its result, or the exception after undoing its changes."""
    connection.execute("SAVEPOINT one")
    try:
        outcome = fn(connection)
    except Exception as fault:
        # On a full disk or an I/O error SQLite may roll the whole transaction back by itself. That also undoes the
        # functions that ran before this one, so their results must not be returned.
        if not connection.in_transaction:
            raise sqlite3.OperationalError(str(fault)) from fault
        connection.execute("ROLLBACK TO one")
        outcome = translate_error(fault)
    connection.execute("RELEASE one")
    return outcome


def without_savepoint(connection: Connection, fn: Callable[[Connection], Any]) -> Any:
    """Run the only function of a group. To undo it is to roll back the transaction, which saves two statements."""
    try:
        outcome = fn(connection)
    except Exception as fault:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return translate_error(fault)
    if not connection.in_transaction:
        raise sqlite3.OperationalError("SQLite rolled the transaction back without an error in its function")
    return outcome


def translate_error(fault: Exception) -> Exception:
    """Return the exception that the caller gets for one that its function raised."""
    bad_sql = getattr(fault, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # a bug, not a problem of the disk
    # sqlite3 raises a plain DatabaseError for a damaged file.
    if type(fault) in (sqlite3.OperationalError, sqlite3.DatabaseError) and not bad_sql:
        return StorageError(str(fault))
    if isinstance(fault, sqlite3.IntegrityError) and "FOREIGN KEY" in str(fault):
        return MissingReference(str(fault))
    if isinstance(fault, StopIteration):  # a future cannot carry it (PEP 479)
        return RuntimeError("a transaction raised StopIteration")
    return fault


def roll_back(connection: Connection) -> None:
    """End the open transaction if there is one. An error here is ignored, because the first error is the one to report.

    What made a COMMIT fail often makes ROLLBACK fail too.
    """
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
