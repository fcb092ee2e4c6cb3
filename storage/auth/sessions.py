"""Sessions, from login to logout, and their refresh tokens. Only the digest of a token is stored."""

from __future__ import annotations

from typing import NamedTuple

from storage.engine.connection import Connection


class Session(NamedTuple):
    """A login session. Times in epoch milliseconds; `expires_at` is when the newest refresh token expires."""

    id: str
    user_id: str
    created_at: int
    expires_at: int


class RefreshToken(NamedTuple):
    """A refresh token, together with the state of its session. Times in epoch milliseconds."""

    session_id: str
    user_id: str
    expires_at: int
    is_used: int  # 0 or 1
    has_ended: int  # of the session; 0 or 1
    refreshes: int  # of the session, since `counted_from`
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


def rotate(connection: Connection, used_digest: bytes, new_digest: bytes, now: int, state: RefreshToken) -> None:
    """Mark a refresh token as used, add the next one, and store the session's new `state`."""
    connection.execute("UPDATE refresh_tokens SET spent_at = ? WHERE digest = ?", (now, used_digest))
    _add_token(connection, state.session_id, new_digest)
    connection.execute(
        "UPDATE sessions SET expires_at = ?, refreshes = ?, counted_from = ? WHERE id = ?",
        (state.expires_at, state.refreshes, state.counted_from, state.session_id),
    )


def _add_token(connection: Connection, session_id: str, digest: bytes) -> None:
    connection.execute("INSERT INTO refresh_tokens (digest, session_id) VALUES (?, ?)", (digest, session_id))


def end(connection: Connection, session_id: str, now: int) -> None:
    connection.execute("UPDATE sessions SET ended_at = ? WHERE id = ? AND ended_at IS NULL", (now, session_id))


def end_all(connection: Connection, user_id: str, now: int) -> list[str]:
    """End all active sessions of a user. Return their ids."""
    rows = connection.execute(
        "UPDATE sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL RETURNING id", (now, user_id)
    )
    return [session_id for (session_id,) in rows.fetchall()]


def ended_ids(connection: Connection) -> list[str]:
    """Return the ids of the sessions that were ended and are not deleted yet."""
    rows = connection.execute("SELECT id FROM sessions WHERE ended_at IS NOT NULL")
    return [session_id for (session_id,) in rows.fetchall()]


def delete_expired(connection: Connection, before: int, limit: int) -> list[str]:
    """Delete up to `limit` sessions that expired before a time (epoch milliseconds), oldest first. Return their ids."""
    rows = connection.execute(
        "SELECT id FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?", (before, limit)
    ).fetchall()
    connection.executemany("DELETE FROM refresh_tokens WHERE session_id = ?", rows)
    connection.executemany("DELETE FROM sessions WHERE id = ?", rows)
    return [session_id for (session_id,) in rows]
