"""Logins. A refresh token is kept only as its digest."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    user_id: str
    refresh_digest: bytes
    created_at: int
    expires_at: int


def add(connection: Connection, session: Session) -> None:
    connection.execute(
        "INSERT INTO sessions (id, user_id, refresh_digest, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (session.id, session.user_id, session.refresh_digest, session.created_at, session.expires_at),
    )
