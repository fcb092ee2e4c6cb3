"""The commands of an operator: what each one does and reports.

A new command is an entry of COMMANDS; `darkroom` makes its command line from it (server/commands/operator.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from actors.auth.actor import Auth
from actors.auth.administration import Ban, GetUserByPhone, ListAdmins, Role, RotateKeys, SetRole, Unban, Unlock
from actors.errors import CommitFailed, DomainError, PhoneInvalid, StorageError, UserNotFound
from actors.phones import canonical
from server.http.errors import failure_of


class OperatorFailed(Exception):
    """The command could not be executed. The message says why."""


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """A command of the operator.

    `run` gets the auth actor and a canonical phone, "" for commands without one; it returns the command's output.
    """

    help: str
    run: Callable[[Auth, str], Awaitable[str]]
    takes_phone: bool = True


async def run_command(auth: Auth, name: str, phone: str = "") -> str:
    """Run one of COMMANDS and return its output. Raises OperatorFailed."""
    if name not in COMMANDS:
        raise OperatorFailed(f"this server does not know the command {name!r}; it may be older than this program")
    try:
        return await COMMANDS[name].run(auth, canonical(phone) if phone else "")
    except PhoneInvalid:
        raise OperatorFailed(f"{phone} is not a mainland China mobile number, such as 13800138000") from None
    except UserNotFound:
        raise OperatorFailed(f"no user has logged in with {phone} yet") from None
    except (DomainError, StorageError, CommitFailed) as fault:
        raise OperatorFailed(failure_of(fault, english=True).message) from fault


async def _user_id(auth: Auth, phone: str) -> str:
    return (await auth.ask(GetUserByPhone(phone))).id


async def _grant_admin(auth: Auth, phone: str) -> str:
    await auth.ask(SetRole(await _user_id(auth, phone), Role.ADMIN))
    return f"{phone} is an admin now"


async def _revoke_admin(auth: Auth, phone: str) -> str:
    await auth.ask(SetRole(await _user_id(auth, phone), Role.USER))
    return f"{phone} is not an admin any more"


async def _list_admins(auth: Auth, _: str) -> str:
    return "\n".join(f"{admin.phone}  {admin.id}" for admin in await auth.ask(ListAdmins()))


async def _ban(auth: Auth, phone: str) -> str:
    ended = await auth.ask(Ban(await _user_id(auth, phone)))
    return f"{phone} is banned; sessions ended: {ended}"


async def _unban(auth: Auth, phone: str) -> str:
    await auth.ask(Unban(await _user_id(auth, phone)))
    return f"{phone} can log in again"


async def _unlock(auth: Auth, phone: str) -> str:
    had_failures = await auth.ask(Unlock(phone))
    return f"{phone} can try codes again" if had_failures else f"{phone} has no wrong codes"


async def _rotate_keys(auth: Auth, _: str) -> str:
    key_id = await auth.ask(RotateKeys())
    return f"new access tokens are signed with key {key_id}"


COMMANDS: Mapping[str, OperatorCommand] = {
    "admin grant": OperatorCommand("Give admin rights to the user with this phone.", _grant_admin),
    "admin revoke": OperatorCommand("Remove admin rights.", _revoke_admin),
    "admin list": OperatorCommand("List the admins: phone and id.", _list_admins, takes_phone=False),
    "user ban": OperatorCommand("Close an account: its sessions end and its user cannot log in.", _ban),
    "user unban": OperatorCommand("Open a closed account again.", _unban),
    "user unlock": OperatorCommand("Reset the count of wrong codes, which locks a phone when it is too high.", _unlock),
    "keys rotate": OperatorCommand(
        "Sign new access tokens with a new key. Older tokens stay valid until they expire.",
        _rotate_keys,
        takes_phone=False,
    ),
}
