"""The obvious implementation: one transaction a request, behind a lock. `python -m tests.bench.baseline DATABASE`.

What a competent developer writes in an afternoon from api.md: aiohttp, PyJWT and aiosqlite with its usual
`await db.execute(…)`; the same durability as Darkroom (WAL, synchronous=FULL), the same tables in spirit, a balance
that is exact because one request at a time may change it. It is the yardstick of `make bench`, not a straw man: no
await that could be spared without a change of design. What it leaves out is in Darkroom's disfavour: metrics, request
ids, languages, limits.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiosqlite
import jwt
from aiohttp import web
from yarl import URL

from tests.bench.members import BASE, SIGNING_KEY
from tests.bench.run_app import run
from tests.support.server import SECRETS

DAY = 86_400_000


class Obvious:
    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._db: aiosqlite.Connection

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_post("/api/task/create", self.create)
        app.router.add_get("/api/task/{taskId}", self.read)
        app.router.add_get("/api/membership/status", self.status)
        app.router.add_post("/api/auth/login", self.login)
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, _: web.Application) -> AsyncIterator[None]:
        async with aiosqlite.connect(self._path, isolation_level=None) as self._db:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
                await self._db.execute(f"PRAGMA {pragma}")
            yield

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._lock:
            await self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                await self._db.execute("COMMIT")
            except BaseException:
                await self._db.execute("ROLLBACK")
                raise

    async def create(self, request: web.Request) -> web.Response:
        user_id = _user(request)
        body = await _json(request)
        template = body.get("params", {}).get("template", "all")
        if body.get("type") != "basic_clean" or template not in ("all", "matting", "white_bg", "enhanced"):
            raise _error(web.HTTPBadRequest, 4001, "unknown type or template")
        picture = _own_picture(user_id, body.get("inputImageUrl"))
        key = request.headers.get("Idempotency-Key", "")
        async with self._transaction() as db:
            before = await _one(db, "SELECT body, answer FROM idempotency WHERE user_id = ? AND key = ?", user_id, key)
            if before is not None:
                if before[0] != json.dumps(body, sort_keys=True):
                    raise _error(web.HTTPUnprocessableEntity, 4022, "this key was used with another body")
                return _answer(json.loads(before[1]))
            data = await _charge_and_add(db, user_id, body["type"], picture, template)
            if key:
                await db.execute(
                    "INSERT INTO idempotency (user_id, key, body, answer, created_at) VALUES (?, ?, ?, ?, ?)",
                    (user_id, key, json.dumps(body, sort_keys=True), json.dumps(data), _now()),
                )
        return _answer(data)

    async def read(self, request: web.Request) -> web.Response:
        user_id = _user(request)
        row = await _one(
            self._db,
            """SELECT user_id, id, type, status, input_key, params, results, error, progress, created_at, updated_at,
                completed_at FROM tasks WHERE id = ?""",
            request.match_info["taskId"],
        )
        if row is None:
            raise _error(web.HTTPNotFound, 4004, "no such task")
        owner, task_id, type_, status, picture, params, results, error, progress, created, updated, completed = row
        if owner != user_id:
            raise _error(web.HTTPForbidden, 4003, "not yours")
        return _answer(
            {
                "id": task_id,
                "type": type_,
                "status": status,
                "inputImageUrl": _signed(picture),
                "params": json.loads(params),
                "resultUrls": [_signed(key) for key in json.loads(results)],
                "errorMessage": error,
                "progress": progress,
                "createdAt": _iso(created),
                "updatedAt": _iso(updated),
                "completedAt": _iso(completed),
            }
        )

    async def status(self, request: web.Request) -> web.Response:
        user_id = _user(request)
        balance, expires = await _account(self._db, user_id)
        order = await _one(
            self._db,
            """SELECT plan, price, auto_renew FROM orders WHERE user_id = ? AND status = 'paid'
                ORDER BY created_at DESC LIMIT 1""",
            user_id,
        )
        plan, price, auto_renew = order or (None, 9900, 0)
        return _answer(
            {
                **_membership(balance, expires),
                "expireDays": max(0, -(-(expires - _now()) // DAY)),
                "price": price,
                "plan": plan,
                "autoRenew": bool(auto_renew),
            }
        )

    async def login(self, request: web.Request) -> web.Response:
        body = await _json(request)
        phone, code = body.get("phone"), body.get("code")
        if not isinstance(phone, str) or len(phone) != 11 or not isinstance(code, str) or len(code) != 6:
            raise _error(web.HTTPBadRequest, 2000, "phone or code format")
        refresh_token = secrets.token_urlsafe(32)
        async with self._transaction() as db:
            user_id = await _spend_code(db, phone, code)  # a wrong one is committed, too: its try has to stay counted
            if user_id is not None:
                row = (refresh_token, user_id)
                await db.execute("INSERT INTO sessions (refresh_token, user_id) VALUES (?, ?)", row)
                balance, expires = await _account(db, user_id)
        if user_id is None:
            raise _error(web.HTTPBadRequest, 2001, "the code is wrong, used or expired")
        return _answer(
            {
                "token": _token(user_id, phone),
                "refreshToken": refresh_token,
                "expiresIn": 7 * 86_400,
                "user": {"id": user_id, "phone": phone, **_membership(balance, expires)},
            }
        )


async def _charge_and_add(
    db: aiosqlite.Connection, user_id: str, type_: str, picture: str, template: str
) -> dict[str, object]:
    balance, expires = await _account(db, user_id)
    now = _now()
    if expires <= now:
        raise _error(web.HTTPForbidden, 1002, "not a member")
    if balance < 1:
        raise _error(web.HTTPForbidden, 1003, "quota insufficient")
    task_id, left = uuid.uuid4().hex, balance - 1
    await db.execute("UPDATE accounts SET balance = ? WHERE user_id = ?", (left, user_id))
    await db.execute(
        """INSERT INTO tasks (id, user_id, type, status, input_key, params, created_at, updated_at)
            VALUES (?, ?, ?, 'pending', ?, ?, ?, ?)""",
        (task_id, user_id, type_, picture, json.dumps({"template": template}), now, now),
    )
    await db.execute(
        """INSERT INTO ledger (user_id, kind, amount, balance, reference, created_at)
            VALUES (?, 'charge', -1, ?, ?, ?)""",
        (user_id, left, task_id, now),
    )
    return {
        "taskId": task_id,
        "type": type_,
        "status": "pending",
        "createdAt": _iso(now),
        "quota_remaining": left,
    }


async def _spend_code(db: aiosqlite.Connection, phone: str, code: str) -> str | None:
    """The user's id, made where there was none; None for a wrong code."""
    row = await _one(
        db,
        "UPDATE codes SET tries = tries + 1 WHERE phone = ? AND tries < 5 AND expires_at > ? RETURNING code",
        *(phone, _now()),
    )
    if row is None or not hmac.compare_digest(row[0], code):
        return None
    await db.execute("DELETE FROM codes WHERE phone = ?", (phone,))
    await db.execute(
        "INSERT INTO users (id, phone, created_at) VALUES (?, ?, ?) ON CONFLICT (phone) DO NOTHING",
        (uuid.uuid4().hex, phone, _now()),
    )
    user = await _one(db, "SELECT id FROM users WHERE phone = ?", phone)
    assert user is not None
    return str(user[0])


async def _account(db: aiosqlite.Connection, user_id: str) -> tuple[int, int]:
    """The balance and the end of the membership."""
    row = await _one(db, "SELECT balance, expires_at FROM accounts WHERE user_id = ?", user_id)
    return (row[0], row[1]) if row is not None else (0, 0)


async def _one(db: aiosqlite.Connection, sql: str, *arguments: object) -> Any:
    rows = list(await db.execute_fetchall(sql, arguments))
    return rows[0] if rows else None


def _user(request: web.Request) -> str:
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        claims = jwt.decode(token, SIGNING_KEY, algorithms=["HS256"], audience="darkroom", issuer="darkroom")
        return str(claims["userId"])
    except (jwt.InvalidTokenError, KeyError):
        raise _error(web.HTTPUnauthorized, 1001, "not logged in") from None


def _token(user_id: str, phone: str) -> str:
    now = int(time.time())
    claims = {
        **{"iss": "darkroom", "aud": "darkroom", "sub": user_id, "jti": uuid.uuid4().hex, "typ": "access"},
        **{"iat": now, "exp": now + 7 * 86_400, "userId": user_id, "phone": phone},
    }
    return jwt.encode(claims, SIGNING_KEY, algorithm="HS256")


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise _error(web.HTTPBadRequest, 4001, "not JSON") from None
    if not isinstance(body, dict):
        raise _error(web.HTTPBadRequest, 4001, "an object is needed")
    return body


def _own_picture(user_id: str, url: object) -> str:
    """The key of a picture whose signed address this is."""
    prefix = f"{BASE}/media/"
    if not isinstance(url, str) or not url.startswith(prefix):
        raise _error(web.HTTPBadRequest, 4001, "not one of our addresses")
    address = URL(url)
    key = address.path.removeprefix("/media/")
    signature = _signature(key, address.query.get("expires", ""))
    if not hmac.compare_digest(signature, address.query.get("signature", "")):
        raise _error(web.HTTPForbidden, 4003, "altered")
    if not key.startswith(f"input/{user_id}/"):
        raise _error(web.HTTPForbidden, 4003, "not yours")
    return key


def _signed(key: str) -> str:
    expires = str(int(time.time()) + 1800)
    return f"{BASE}/media/{key}?expires={expires}&signature={_signature(key, expires)}"


def _signature(key: str, expires: str) -> str:
    return hmac.new(SECRETS["media"].encode(), f"GET\n{key}\n{expires}".encode(), hashlib.sha256).hexdigest()


def _membership(balance: int, expires: int) -> dict[str, object]:
    alive = expires > _now()
    return {
        "isMember": alive,
        "quota_remaining": balance if alive else 0,
        "quota_expireAt": _iso(expires) if alive else None,
    }


def _answer(data: object) -> web.Response:
    return web.json_response({"success": True, "data": data})


def _error(kind: type[web.HTTPException], code: int, message: str) -> web.HTTPException:
    content = {"success": False, "error": {"code": code, "message": message}}
    return kind(text=json.dumps(content), content_type="application/json")


def _now() -> int:
    return time.time_ns() // 1_000_000


def _iso(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    run(Obvious(sys.argv[1]).app())
