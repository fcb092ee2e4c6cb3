"""What can be wrong with what a person asked for, in the terms of the domain.

A kind says what it means; the HTTP status, the code and the words for the person are the edge's
(server/http/errors.py). `facts` fill the words: limits, names, seconds. Storage's two faults belong to the vocabulary.
"""

from __future__ import annotations

from storage.engine.errors import CommitFailed as CommitFailed
from storage.engine.errors import MissingReference as MissingReference
from storage.engine.errors import StorageError as StorageError


class DomainError(Exception):
    """A request that cannot be carried out. It changed nothing unless its kind says otherwise."""

    def __init__(self, **facts: str | int) -> None:
        super().__init__(", ".join(f"{name}={value}" for name, value in facts.items()))
        self.facts = facts


class NotLoggedIn(DomainError):
    """No access token, or one that is not valid (any more)."""


class NotMember(DomainError):
    """The action needs a running membership."""


class QuotaInsufficient(DomainError):
    """Facts: `needed`, `remaining` (generations)."""


class UserNotFound(DomainError):
    """The token is good, its person is gone."""


class PhoneInvalid(DomainError):
    """Not a mainland China mobile number."""


class CodeInvalid(DomainError):
    """The login code is not six ASCII digits."""


class CodeWrong(DomainError):
    """The login code is wrong, used, replaced, expired, or was tried too often."""


class RateLimited(DomainError):
    """Facts: `limit` (count), `retry_after` (seconds)."""


class TooManyCodesForPhone(RateLimited):
    """Login codes sent to one phone."""


class TooManyCodesForAddress(RateLimited):
    """Login codes asked for from one network address."""


class TooManyCodes(RateLimited):
    """Login codes sent to numbers that begin alike, or by the whole server in a day."""


class LoginLocked(RateLimited):
    """Too many wrong codes in a row were given for this phone."""


class TooManyRefreshes(RateLimited):
    """One session was refreshed too often."""


class PhoneRefused(DomainError):
    """The SMS provider does not deliver to this number: it does not exist, or its owner wants no messages."""


class Banned(DomainError):
    """The operator has closed this person's account."""


class BadParameter(DomainError):
    """Facts: `field`, `problem` (what is wrong with it, for a person)."""


class UnknownTaskType(DomainError):
    """Facts: `type`, `known` (comma-separated)."""


class NotAllowed(DomainError):
    """The thing exists, but is somebody else's or not for this caller."""


class LinkInvalid(NotAllowed):
    """A signed URL that was altered, is for another method, or has expired."""


class TaskNotFound(DomainError):
    """No such task."""


class FileMissing(DomainError):
    """No such file in the object store, or it was never uploaded."""


class TaskFinished(DomainError):
    """The task has reached a final state, which never changes. Facts: `status`."""


class TooLarge(DomainError):
    """Facts: `limit` (text with its unit)."""


class NotAnImage(DomainError):
    """Not a JPEG or PNG that can be read whole. Facts: `problem` (a key the edge can put in words)."""


class IdempotencyKeyReused(DomainError):
    """The idempotency key was used with another body before."""


class OrderNotFound(DomainError):
    """No such order, or somebody else's."""


class OrderEnded(DomainError):
    """The order can no longer be paid, and its gateway never said how it could be. Facts: `status`."""


class UnknownChannel(DomainError):
    """Facts: `channel`, `known` (comma-separated)."""


class UnknownPlan(DomainError):
    """Facts: `plan`, `known` (comma-separated)."""


class SignatureInvalid(DomainError):
    """A payment notification that its gateway did not sign, or signed too long ago."""


class PaymentMismatch(DomainError):
    """A well-signed notification that does not fit its order; it is logged and credits nothing. Facts: `problem`."""


class Overloaded(DomainError):
    """A bounded queue is full or the server is stopping. Nothing was done. Facts: `retry_after` (seconds)."""


class ServiceUnavailable(DomainError):
    """An outside service failed or is not configured. Facts: `service`, `retry_after` (seconds)."""
