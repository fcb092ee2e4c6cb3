"""The commands about users, and about the keys that sign their access tokens."""

from __future__ import annotations

from actors.auth.actor import Auth
from actors.auth.administration import Ban, GetUserByPhone, ListAdmins, Role, RotateKeys, SetRole, Unban, Unlock
from actors.errors import UserNotFound
from server.operator.command import Actors, NoArguments, OperatorCommand, OperatorFailed, PhoneArguments, Report


async def find_user(auth: Auth, phone: str) -> str:
    """Return the id of the user with a canonical phone. Raises OperatorFailed."""
    try:
        return (await auth.ask(GetUserByPhone(phone))).id
    except UserNotFound:
        raise OperatorFailed(f"no user has logged in with {phone} yet") from None


async def _grant_admin(actors: Actors, arguments: PhoneArguments) -> Report:
    return await _set_role(actors.auth, arguments.phone, Role.ADMIN, "is an admin now")


async def _revoke_admin(actors: Actors, arguments: PhoneArguments) -> Report:
    return await _set_role(actors.auth, arguments.phone, Role.USER, "is not an admin any more")


async def _set_role(auth: Auth, phone: str, role: Role, result: str) -> Report:
    user_id = await find_user(auth, phone)
    await auth.ask(SetRole(user_id, role))
    return Report(f"{phone} {result}", {"userId": user_id, "phone": phone, "role": role.value})


async def _list_admins(actors: Actors, _: NoArguments) -> Report:
    admins = await actors.auth.ask(ListAdmins())
    facts = [{"userId": admin.id, "phone": admin.phone} for admin in admins]
    return Report("\n".join(f"{admin.phone}  {admin.id}" for admin in admins), facts)


async def _ban(actors: Actors, arguments: PhoneArguments) -> Report:
    phone, user_id = arguments.phone, await find_user(actors.auth, arguments.phone)
    ended = await actors.auth.ask(Ban(user_id))
    facts = {"userId": user_id, "phone": phone, "banned": True, "sessionsEnded": ended}
    return Report(f"{phone} is banned; sessions ended: {ended}", facts)


async def _unban(actors: Actors, arguments: PhoneArguments) -> Report:
    phone, user_id = arguments.phone, await find_user(actors.auth, arguments.phone)
    await actors.auth.ask(Unban(user_id))
    return Report(f"{phone} can log in again", {"userId": user_id, "phone": phone, "banned": False})


async def _unlock(actors: Actors, arguments: PhoneArguments) -> Report:
    phone = arguments.phone
    had_failures = await actors.auth.ask(Unlock(phone))
    text = f"{phone} can try codes again" if had_failures else f"{phone} has no wrong codes"
    return Report(text, {"phone": phone, "hadWrongCodes": had_failures})


async def _rotate_keys(actors: Actors, _: NoArguments) -> Report:
    key_id = await actors.auth.ask(RotateKeys())
    return Report(f"new access tokens are signed with key {key_id}", {"keyId": key_id})


USER_COMMANDS = {
    "admin grant": OperatorCommand("Give admin rights to the user with this phone.", PhoneArguments, _grant_admin),
    "admin revoke": OperatorCommand("Remove admin rights.", PhoneArguments, _revoke_admin),
    "admin list": OperatorCommand("List the admins: phone and id.", NoArguments, _list_admins),
    "user ban": OperatorCommand("Close an account: its sessions end and its user cannot log in.", PhoneArguments, _ban),
    "user unban": OperatorCommand("Open a closed account again.", PhoneArguments, _unban),
    "user unlock": OperatorCommand(
        "Reset the count of wrong codes, which locks a phone when it is too high.", PhoneArguments, _unlock
    ),
    "keys rotate": OperatorCommand(
        "Sign new access tokens with a new key. Older tokens stay valid until they expire.", NoArguments, _rotate_keys
    ),
}
