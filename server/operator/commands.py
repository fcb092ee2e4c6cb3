"""What an operator can have done, and what is said of it."""

from __future__ import annotations

from actors.auth.actor import Auth
from actors.auth.messages import Ban, FindUser, ListAdmins, Role, RotateKeys, SetRole, Unban, Unlock
from actors.errors import CommitFailed, DomainError, PhoneInvalid, StorageError, UserNotFound
from actors.phones import canonical
from server.http.errors import failure_of


class OperatorFailed(Exception):
    """The command could not be carried out; the message says why."""


async def carry_out(auth: Auth, command: str, phone: str = "") -> str:
    """What to tell the operator. Raises OperatorFailed."""
    try:
        return await _carried_out(auth, command, canonical(phone) if phone else "")
    except PhoneInvalid:
        raise OperatorFailed(f"{phone} is not a mainland China mobile number, such as 13800138000") from None
    except UserNotFound:
        raise OperatorFailed(f"nobody has logged in with {phone} yet") from None
    except (DomainError, StorageError, CommitFailed) as fault:
        raise OperatorFailed(failure_of(fault, english=True).message) from fault


async def _carried_out(auth: Auth, command: str, phone: str) -> str:
    match command:
        case "admin grant" | "admin revoke":
            user = await auth.ask(FindUser(phone))
            role = Role.ADMIN if command == "admin grant" else Role.USER
            await auth.ask(SetRole(user.id, role))
            return f"{phone} is {'an admin' if role is Role.ADMIN else 'no admin any more'}"
        case "admin list":
            return "\n".join(f"{admin.phone}  {admin.id}" for admin in await auth.ask(ListAdmins()))
        case "user ban":
            ended = await auth.ask(Ban((await auth.ask(FindUser(phone))).id))
            return f"{phone} is banned; {ended} sessions have ended"
        case "user unban":
            await auth.ask(Unban((await auth.ask(FindUser(phone))).id))
            return f"{phone} can log in again"
        case "user unlock":
            known = await auth.ask(Unlock(phone))
            return f"{phone} can try codes again" if known else f"no wrong codes were given for {phone}"
        case "keys rotate":
            key = await auth.ask(RotateKeys())
            return f"access tokens are signed with key {key} from now on"
        case _:
            raise OperatorFailed(f"this server knows no command {command!r}; it may be older than this program")
