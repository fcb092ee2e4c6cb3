"""The errors of the domain: why a request cannot be carried out.

The HTTP layer has a status, a code and a text for each class (server/http/errors.py); `facts` are the values in the
text: limits, names, seconds. Storage's errors are imported here for the layers above, which do not import storage.

The names of these classes are stored in rows, so they must not change.
"""

from __future__ import annotations

from storage.engine.errors import CommitFailed as CommitFailed
from storage.engine.errors import MissingReference as MissingReference
from storage.engine.errors import StorageError as StorageError


class DomainError(Exception):
    """A request cannot be carried out. It changed nothing, unless the class says otherwise."""

    def __init__(self, **facts: str | float) -> None:
        super().__init__(", ".join(f"{name}={value}" for name, value in facts.items()))
        self.facts = facts


class NotLoggedIn(DomainError):
    """There is no access token, or it is not valid."""


class NotMember(DomainError):
    """The action requires a running membership."""


class QuotaInsufficient(DomainError):
    """The balance is too low. Facts: `needed`, `remaining` (generations)."""


class UserNotFound(DomainError):
    """No such user."""


class PhoneInvalid(DomainError):
    """Not a mainland China mobile number."""


class CodeInvalid(DomainError):
    """The login code is not six ASCII digits."""


class CodeWrong(DomainError):
    """The login code is wrong, used, replaced, expired, or was tried too often."""


class RateLimited(DomainError):
    """The base class of all rate limits. Facts: `limit` (count), `retry_after` (seconds)."""


class TooManyCodesForPhone(RateLimited):
    """Too many login codes were sent to one phone."""


class TooManyCodesForAddress(RateLimited):
    """Too many login codes were requested from one network address."""


class TooManyCodes(RateLimited):
    """Too many login codes were sent to phones with the same prefix, or by the whole server in a day."""


class LoginLocked(RateLimited):
    """The phone is locked after too many wrong codes in a row."""


class TooManyRefreshes(RateLimited):
    """A session was refreshed too often."""


class PhoneRefused(DomainError):
    """The SMS provider does not deliver to this number: it does not exist, or its owner wants no messages."""


class Banned(DomainError):
    """The user is banned."""


class BadParameter(DomainError):
    """A field has an invalid value.

    Facts: `field`, `problem` (a key; the HTTP layer has the text), and the values in that text.
    """


class UnknownTaskType(DomainError):
    """No such task type. Facts: `type`, `known` (comma-separated)."""


class NotAllowed(DomainError):
    """The caller may not do this, or does not own the object."""


class LinkInvalid(NotAllowed):
    """A signed URL was altered, is for another method, or has expired."""


class TaskNotFound(DomainError):
    """No such task."""


class FileMissing(DomainError):
    """No such file in the object store, or it was never uploaded."""


class TaskFinished(DomainError):
    """The task has reached a final state, which never changes. Facts: `status`."""


class TaskHeld(DomainError):
    """The task is being carried out, and its type cannot be stopped."""


class TaskUnfinished(DomainError):
    """The task has not reached a final state yet. Facts: `status`."""


class TaskNotFailed(DomainError):
    """Only a failed task can be retried. Facts: `status`."""


class LeaseLost(DomainError):
    """The attempt is not the current one: another worker has taken the task over. Facts: `attempt`."""


class TooManyTasks(RateLimited):
    """A user created too many tasks of one type within a minute. Facts also: `type`."""


class TooManyCancellations(RateLimited):
    """A user cancelled too many tasks within a minute."""


class TooLarge(DomainError):
    """The upload is too large. Facts: `limit` (text with its unit)."""


class NotAnImage(DomainError):
    """The file is not a complete JPEG or PNG. Facts: `problem` (a key; the HTTP layer has the text)."""


class IdempotencyKeyReused(DomainError):
    """The idempotency key was used before with a different request."""


class OrderNotFound(DomainError):
    """No such order, or it belongs to another user."""


class OrderEnded(DomainError):
    """The order ended before its gateway returned a way to pay it. Facts: `status`."""


class UnknownChannel(DomainError):
    """No such payment channel. Facts: `channel`, `known` (comma-separated)."""


class UnknownPlan(DomainError):
    """No such plan. Facts: `plan`, `known` (comma-separated)."""


class SignatureInvalid(DomainError):
    """A payment notification is not signed by its gateway, or is too old."""


class PaymentMismatch(DomainError):
    """A correctly signed notification does not fit its order. It is logged and credits nothing. Facts: `problem`."""


class Overloaded(DomainError):
    """A bounded queue is full, or the server is stopping. Nothing was done. Facts: `retry_after` (seconds)."""


class ServiceUnavailable(DomainError):
    """An external service failed, or is not configured. Facts: `service`, `retry_after` (seconds)."""
