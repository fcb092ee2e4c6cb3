"""People, known by their phone."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class User:
    """`phone` in its canonical form, `created_at` in epoch milliseconds."""

    id: str
    phone: str
    created_at: int


def find(connection: Connection, user_id: str) -> User | None:
    row = connection.execute("SELECT id, phone, created_at FROM users WHERE id = ?", (user_id,)).fetchone()
    return User(*row) if row else None


def find_or_add(connection: Connection, candidate: User) -> User:
    """The person with the candidate's phone; the candidate itself where there was none."""
    connection.execute(
        "INSERT INTO users (id, phone, created_at) VALUES (?, ?, ?) ON CONFLICT (phone) DO NOTHING",
        (candidate.id, candidate.phone, candidate.created_at),
    )
    row = connection.execute("SELECT id, phone, created_at FROM users WHERE phone = ?", (candidate.phone,)).fetchone()
    return User(*row)
