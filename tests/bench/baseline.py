"""The baseline implementation: one transaction per request, behind a lock. `python -m tests.bench.baseline DATABASE`.

A competent developer could write it in an afternoon from docs/api.md: aiohttp, PyJWT and aiosqlite with its usual
`await db.execute(…)`. It has the same durability as Darkroom (WAL, synchronous=FULL) and similar tables. Its balance is
exact, because only one request at a time may change it. It is a fair comparison: no await can be removed without
another design. It has no metrics, request ids, languages or limits, which makes it faster than it would be with them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
from aiohttp import web

from tests.bench.baseline_http import (
    authenticate,
    http_error,
    iso_time,
    issue_token,
    now_ms,
    read_json,
    respond,
    signed_url,
    verified_picture_key,
)
from tests.bench.run_app import run

DAY = 86_400_000


class Baseline:
    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._db: aiosqlite.Connection

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_post("/api/task/create", self.create_task)
        app.router.add_get("/api/task/{taskId}", self.read_task)
        app.router.add_get("/api/membership/status", self.membership_status)
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

    async def create_task(self, request: web.Request) -> web.Response:
        user_id = authenticate(request)
        body = await read_json(request)
        template = body.get("params", {}).get("template", "all")
        if body.get("type") != "basic_clean" or template not in ("all", "matting", "white_bg", "enhanced"):
            raise http_error(web.HTTPBadRequest, 4001, "unknown type or template")
        picture = verified_picture_key(user_id, body.get("inputImageUrl"))
        key = request.headers.get("Idempotency-Key", "")
        async with self._transaction() as db:
            stored = await _row(db, "SELECT body, answer FROM idempotency WHERE user_id = ? AND key = ?", user_id, key)
            if stored is not None:
                if stored[0] != json.dumps(body, sort_keys=True):
                    raise http_error(web.HTTPUnprocessableEntity, 4022, "this key was used with another body")
                return respond(json.loads(stored[1]))
            data = await _charge_and_insert(db, user_id, body["type"], picture, template)
            if key:
                await db.execute(
                    "INSERT INTO idempotency (user_id, key, body, answer, created_at) VALUES (?, ?, ?, ?, ?)",
                    (user_id, key, json.dumps(body, sort_keys=True), json.dumps(data), now_ms()),
                )
        return respond(data)

    async def read_task(self, request: web.Request) -> web.Response:
        user_id = authenticate(request)
        row = await _row(
            self._db,
            """SELECT user_id, id, type, status, input_key, params, results, error, progress, created_at, updated_at,
                completed_at FROM tasks WHERE id = ?""",
            request.match_info["taskId"],
        )
        if row is None:
            raise http_error(web.HTTPNotFound, 4004, "no such task")
        if row[0] != user_id:
            raise http_error(web.HTTPForbidden, 4003, "the task belongs to another user")
        return respond(_task_fields(*row[1:]))

    async def membership_status(self, request: web.Request) -> web.Response:
        user_id = authenticate(request)
        balance, expires = await _account(self._db, user_id)
        order = await _row(
            self._db,
            """SELECT plan, price, auto_renew FROM orders WHERE user_id = ? AND status = 'paid'
                ORDER BY created_at DESC LIMIT 1""",
            user_id,
        )
        plan, price, auto_renew = order or (None, 9900, 0)
        return respond(
            {
                **_membership_fields(balance, expires),
                "expireDays": max(0, -(-(expires - now_ms()) // DAY)),
                "price": price,
                "plan": plan,
                "autoRenew": bool(auto_renew),
            }
        )

    async def login(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        phone, code = body.get("phone"), body.get("code")
        if not isinstance(phone, str) or len(phone) != 11 or not isinstance(code, str) or len(code) != 6:
            raise http_error(web.HTTPBadRequest, 2000, "phone or code format")
        refresh_token = secrets.token_urlsafe(32)
        async with self._transaction() as db:
            user_id = await _use_code(db, phone, code)  # a wrong code commits too, because its attempt must be counted
            if user_id is not None:
                row = (refresh_token, user_id)
                await db.execute("INSERT INTO sessions (refresh_token, user_id) VALUES (?, ?)", row)
                balance, expires = await _account(db, user_id)
        if user_id is None:
            raise http_error(web.HTTPBadRequest, 2001, "the code is wrong, used or expired")
        return respond(
            {
                "token": issue_token(user_id, phone),
                "refreshToken": refresh_token,
                "expiresIn": 7 * 86_400,
                "user": {"id": user_id, "phone": phone, **_membership_fields(balance, expires)},
            }
        )


async def _charge_and_insert(
    db: aiosqlite.Connection, user_id: str, type_: str, picture: str, template: str
) -> dict[str, object]:
    balance, expires = await _account(db, user_id)
    now = now_ms()
    if expires <= now:
        raise http_error(web.HTTPForbidden, 1002, "not a member")
    if balance < 1:
        raise http_error(web.HTTPForbidden, 1003, "quota insufficient")
    task_id, remaining = uuid.uuid4().hex, balance - 1
    await db.execute("UPDATE accounts SET balance = ? WHERE user_id = ?", (remaining, user_id))
    await db.execute(
        """INSERT INTO tasks (id, user_id, type, status, input_key, params, created_at, updated_at)
            VALUES (?, ?, ?, 'pending', ?, ?, ?, ?)""",
        (task_id, user_id, type_, picture, json.dumps({"template": template}), now, now),
    )
    await db.execute(
        """INSERT INTO ledger (user_id, kind, amount, balance, reference, created_at)
            VALUES (?, 'charge', -1, ?, ?, ?)""",
        (user_id, remaining, task_id, now),
    )
    created = iso_time(now)
    return {"taskId": task_id, "type": type_, "status": "pending", "createdAt": created, "quota_remaining": remaining}


async def _use_code(db: aiosqlite.Connection, phone: str, code: str) -> str | None:
    """Return the user's id, after creating the user if there is none. Return None for a wrong code."""
    row = await _row(
        db,
        "UPDATE codes SET tries = tries + 1 WHERE phone = ? AND tries < 5 AND expires_at > ? RETURNING code",
        *(phone, now_ms()),
    )
    if row is None or not hmac.compare_digest(row[0], code):
        return None
    await db.execute("DELETE FROM codes WHERE phone = ?", (phone,))
    await db.execute(
        "INSERT INTO users (id, phone, created_at) VALUES (?, ?, ?) ON CONFLICT (phone) DO NOTHING",
        (uuid.uuid4().hex, phone, now_ms()),
    )
    user = await _row(db, "SELECT id FROM users WHERE phone = ?", phone)
    assert user is not None
    return str(user[0])


async def _account(db: aiosqlite.Connection, user_id: str) -> tuple[int, int]:
    """The balance and the end of the membership."""
    row = await _row(db, "SELECT balance, expires_at FROM accounts WHERE user_id = ?", user_id)
    return (row[0], row[1]) if row is not None else (0, 0)


async def _row(db: aiosqlite.Connection, sql: str, *arguments: object) -> Any:
    """The first row of the result, or None."""
    rows = list(await db.execute_fetchall(sql, arguments))
    return rows[0] if rows else None


def _task_fields(
    task_id: str,
    type_: str,
    status: str,
    picture: str,
    params: str,
    results: str,
    error: str | None,
    progress: int,
    *times: int | None,
) -> dict[str, object]:
    created, updated, completed = map(iso_time, times)
    return {
        "id": task_id,
        "type": type_,
        "status": status,
        "inputImageUrl": signed_url(picture),
        "params": json.loads(params),
        "resultUrls": [signed_url(key) for key in json.loads(results)],
        "picturesUntil": None,
        "picturesMessage": None,
        "errorMessage": error,
        "progress": progress,
        "createdAt": created,
        "updatedAt": updated,
        "completedAt": completed,
    }


def _membership_fields(balance: int, expires: int) -> dict[str, object]:
    is_member = expires > now_ms()
    return {
        "isMember": is_member,
        "quota_remaining": balance if is_member else 0,
        "quota_expireAt": iso_time(expires) if is_member else None,
    }


if __name__ == "__main__":
    run(Baseline(sys.argv[1]).app())
