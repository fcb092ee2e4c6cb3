"""Routes: login by phone and code, and the sessions that follow."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, TypedDict

from pydantic import Field

from actors.auth.actor import Auth
from actors.auth.messages import GetUser, LogIn, LoginResult, LogOut, Refresh, SendCode, User
from actors.errors import CodeInvalid, PhoneInvalid
from actors.phones import canonical
from actors.quota.actor import Quota
from actors.quota.messages import Balance, GetBalance
from server.http.address import ClientAddress
from server.http.body import Body, FieldErrors, Line
from server.http.language import Text
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso

_CODE = re.compile(r"[0-9]{6}")


class SendCodeBody(Body):
    field_errors: ClassVar[FieldErrors] = {"phone": PhoneInvalid}
    phone: str


class LoginBody(Body):
    field_errors: ClassVar[FieldErrors] = {"phone": PhoneInvalid, "code": CodeInvalid}
    phone: str
    code: str


class RefreshBody(Body):
    refreshToken: Annotated[Line, Field(max_length=256)]


class UserWire(TypedDict):
    id: str
    phone: str
    isMember: bool
    quota_remaining: int
    quota_expireAt: str | None


class AuthRoutes:
    def __init__(self, auth: Auth, quota: Quota, client_address: ClientAddress) -> None:
        self._auth, self._quota, self._client_address = auth, quota, client_address

    def routes(self) -> list[AnyRoute]:
        return [
            Route("POST", "/api/auth/send-code", self._send_code, Access.PUBLIC, SendCodeBody),
            Route("POST", "/api/auth/login", self._login, Access.PUBLIC, LoginBody),
            Route("POST", "/api/auth/refresh", self._refresh, Access.PUBLIC, RefreshBody),
            Route("POST", "/api/auth/logout", self._log_out),
            Route("GET", "/api/auth/me", self._me),
        ]

    async def _send_code(self, call: Call[SendCodeBody, NoQuery]) -> Success:
        expire_in = await self._auth.ask(SendCode(canonical(call.body.phone), self._client_address.of(call.request)))
        return Success({"expireIn": expire_in}, Text("验证码已发送", "Code sent"))

    async def _login(self, call: Call[LoginBody, NoQuery]) -> Success:
        phone = canonical(call.body.phone)
        if _CODE.fullmatch(call.body.code) is None:
            raise CodeInvalid
        return await self._login_reply(await self._auth.ask(LogIn(phone, call.body.code)))

    async def _refresh(self, call: Call[RefreshBody, NoQuery]) -> Success:
        return await self._login_reply(await self._auth.ask(Refresh(call.body.refreshToken)))

    async def _log_out(self, call: Call[NoBody, NoQuery]) -> Success:
        await self._auth.ask(LogOut(call.caller.session_id))
        return Success(None, Text("已退出登录", "Logged out"))

    async def _login_reply(self, login: LoginResult) -> Success:
        return Success(
            {
                "token": login.token,
                "refreshToken": login.refresh_token,
                "expiresIn": login.expires_in,
                "user": await self._user_wire(login.user),
            }
        )

    async def _me(self, call: Call[NoBody, NoQuery]) -> Success:
        user = await self._auth.ask(GetUser(call.caller.user_id))
        return Success({**await self._user_wire(user), "createdAt": iso(user.created_at)})

    async def _user_wire(self, user: User) -> UserWire:
        balance: Balance = await self._quota.ask(GetBalance(user.id))
        return {
            "id": user.id,
            "phone": user.phone,
            "isMember": balance.is_member,
            "quota_remaining": balance.remaining,
            "quota_expireAt": iso(balance.expires_at),
        }
