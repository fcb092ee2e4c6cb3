"""Sessions, from login to logout, and the refresh tokens by which they go on. Of a token only the digest is kept."""

from __future__ import annotations

from typing import NamedTuple

from storage.engine.connection import Connection


class Session(NamedTuple):
    """Times in epoch milliseconds; `expires_at` is the end of its newest refresh token."""

    id: str
    user_id: str
    created_at: int
    expires_at: int


class RefreshToken(NamedTuple):
    """A refresh token that was given out, with what became of its session."""

    session_id: str
    user_id: str
    expires_at: int
    is_spent: int  # 0 or 1
    has_ended: int
    refreshes: int  # of its session, since `counted_from`
    counted_from: int


def add(connection: Connection, session: Session, digest: bytes) -> None:
    connection.execute("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)", session)
    _add_token(connection, session.id, digest)


def find_token(connection: Connection, digest: bytes) -> RefreshToken | None:
    row = connection.execute(
        """
        SELECT session_id, user_id, expires_at, spent_at IS NOT NULL, ended_at IS NOT NULL, refreshes, counted_from
        FROM refresh_tokens JOIN sessions ON sessions.id = session_id WHERE digest = ?
        """,
        (digest,),
    ).fetchone()
    return RefreshToken(*row) if row else None


def rotate(connection: Connection, spent: bytes, digest: bytes, now: int, after: RefreshToken) -> None:
    """Spend a refresh token and give its session the next, which is good until `after` says."""
    connection.execute("UPDATE refresh_tokens SET spent_at = ? WHERE digest = ?", (now, spent))
    _add_token(connection, after.session_id, digest)
    connection.execute(
        "UPDATE sessions SET expires_at = ?, refreshes = ?, counted_from = ? WHERE id = ?",
        (after.expires_at, after.refreshes, after.counted_from, after.session_id),
    )


def _add_token(connection: Connection, session_id: str, digest: bytes) -> None:
    connection.execute("INSERT INTO refresh_tokens (digest, session_id) VALUES (?, ?)", (digest, session_id))


def end(connection: Connection, session_id: str, now: int) -> None:
    connection.execute("UPDATE sessions SET ended_at = ? WHERE id = ? AND ended_at IS NULL", (now, session_id))


def end_all(connection: Connection, user_id: str, now: int) -> list[str]:
    """End a person's sessions; the ids of those that were alive."""
    rows = connection.execute(
        "UPDATE sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL RETURNING id", (now, user_id)
    )
    return [session_id for (session_id,) in rows.fetchall()]


def ended(connection: Connection) -> list[str]:
    """Those that ended and are not forgotten yet."""
    rows = connection.execute("SELECT id FROM sessions WHERE ended_at IS NOT NULL")
    return [session_id for (session_id,) in rows.fetchall()]


def forget(connection: Connection, before: int, limit: int) -> list[str]:
    """Forget sessions whose refresh tokens ended before a moment, the oldest first; their ids."""
    found = connection.execute(
        "SELECT id FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?", (before, limit)
    ).fetchall()
    connection.executemany("DELETE FROM refresh_tokens WHERE session_id = ?", found)
    connection.executemany("DELETE FROM sessions WHERE id = ?", found)
    return [session_id for (session_id,) in found]
