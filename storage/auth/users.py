"""Users. A phone belongs to one user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from storage.engine.batch import placeholders
from storage.engine.connection import Connection

_COLUMNS = "id, phone, created_at, role, banned_at"


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """A user. `phone` is in its canonical form; times are in epoch milliseconds."""

    id: str
    phone: str
    created_at: int
    role: Role = Role.USER
    banned_at: int | None = None


def find(connection: Connection, user_id: str) -> User | None:
    return _user(connection.execute(f"SELECT {_COLUMNS} FROM users WHERE id = ?", (user_id,)).fetchone())


def phones(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return the phones of users, by user id."""
    return dict(connection.execute(f"SELECT id, phone FROM users WHERE id IN {placeholders(1, len(ids))}", ids))


def find_by_phone(connection: Connection, phone: str) -> User | None:
    return _user(connection.execute(f"SELECT {_COLUMNS} FROM users WHERE phone = ?", (phone,)).fetchone())


def add(connection: Connection, user: User) -> None:
    connection.execute(
        "INSERT INTO users (id, phone, created_at) VALUES (?, ?, ?)", (user.id, user.phone, user.created_at)
    )


def admins(connection: Connection) -> list[User]:
    """Return the users with the role admin, ordered by phone."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM users WHERE role = 'admin' ORDER BY phone")
    return [user for user in map(_user, rows) if user is not None]


def set_role(connection: Connection, user_id: str, role: Role) -> bool:
    """Set the role of a user. Return whether the user exists."""
    return connection.execute("UPDATE users SET role = ? WHERE id = ?", (role, user_id)).rowcount == 1


def set_banned(connection: Connection, user_id: str, banned_at: int | None) -> bool:
    """Set the time at which a user was banned, or clear it (None). Return whether the user exists."""
    return connection.execute("UPDATE users SET banned_at = ? WHERE id = ?", (banned_at, user_id)).rowcount == 1


def _user(row: Sequence[object] | None) -> User | None:
    if row is None:
        return None
    user_id, phone, created_at, role, banned_at = row
    assert isinstance(created_at, int) and (banned_at is None or isinstance(banned_at, int))
    return User(str(user_id), str(phone), created_at, Role(str(role)), banned_at)
