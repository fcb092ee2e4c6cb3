"""Corruptions of a sound database: at least one for each rule of the audit."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.seed_data import Size, insert_seed_data

SMALL = Size(users=40, tasks_per_user=13)


@dataclass(frozen=True, slots=True)
class Corruption:
    """`select` finds a row and `statements` corrupt it. The audit must name the selected `id` under `rule`.

    With `only_rule`, the audit must find no other violation.
    """

    name: str
    rule: str
    select: str
    statements: tuple[str, ...]
    only_rule: bool = False

    def apply(self, path: Path) -> str:
        """Corrupt the database. Return the id that the audit must name."""
        connection = connect_unchecked(path)
        cursor = connection.execute(self.select)
        selected = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
        for statement in self.statements:
            connection.execute(statement, selected)
        connection.close()
        return str(selected["id"])


def create_seeded_database(folder: Path, size: Size = SMALL) -> Path:
    """Create a sound database in a data folder. Return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "darkroom.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    insert_seed_data(connection, size, time.time_ns() // 1_000_000)
    connection.close()
    return path


def connect_unchecked(path: Path) -> sqlite3.Connection:
    """Open a connection without triggers, CHECK constraints and foreign keys."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


_ENTRY = "SELECT id, user_id, reference FROM ledger WHERE kind = '{}' LIMIT 1 OFFSET 7"
_TASK = "SELECT id, user_id FROM tasks WHERE status = '{}' LIMIT 1 OFFSET 7"
_ORDER = "SELECT id, user_id FROM orders WHERE status = '{}' LIMIT 1 OFFSET 1"
_USER = "SELECT id FROM users LIMIT 1 OFFSET 7"
_LEDGER_WITHOUT_UNIQUE = (
    "ALTER TABLE ledger RENAME TO former",
    "CREATE TABLE ledger (id, user_id, kind, amount, balance, reference, created_at, previous)",
    "INSERT INTO ledger SELECT * FROM former",
    "DROP TABLE former",
)
_BALANCE = "a balance equals the sum of the user's ledger entries"
_HISTORY = "an entry names the user's previous entry, and its balance is the sum of the amounts so far and not negative"
_CHARGED, _CHARGE = "a task has exactly one charge", "a charge belongs to a task of the same user"
_REFUNDED, _REFUND = "a failed task has exactly one refund", "a refund belongs to a failed task of the same user"
_EXACT = "a refund has the amount of the task's charge"
_GRANTED = "a paid or refunded order has exactly one grant, of the order's quota"
_GRANT = "a grant belongs to a paid or refunded order of the same user"
_ADJUSTED = "an adjustment has exactly one ledger entry"
_ADJUST = "an adjust entry belongs to an adjustment of the same user"
_SIGN = "the amounts of charges and expiries are negative, and those of grants, refunds and gifts are positive"
_GIFT_GRANTED = "a granted signup gift has exactly one ledger entry of its amount, and an ungranted one has none"
_GIFT_ENTRY = "a gift entry belongs to the signup gift of the same user"
_HISTORY_ENDS = "the history of a task has one end if the task is finished, the end in its state, and none otherwise"
_ONE_PLACE = "an unfinished task is waiting, postponed or held, and a finished one is none of these"
_DISK_USE = "the disk use of a user equals the sum of the sizes of the user's pictures"
_TRANSITION = "INSERT INTO task_transitions (task_id, number, kind, attempt, at) VALUES (:id, {}, '{}', 1, 0)"
_PICTURE = "INSERT INTO pictures (key, user_id, bytes, keep_until) VALUES ('input/' || :id, :id, 5, 0)"
_SIGNUP_GIFT = "SELECT user_id AS id FROM signup_gifts WHERE granted_at IS {} LIMIT 1"

CORRUPTIONS = (
    Corruption(
        "a wrong balance",
        _BALANCE,
        _USER,
        ("UPDATE accounts SET balance = balance + 1 WHERE user_id = :id",),
        only_rule=True,
    ),
    Corruption("a missing account", _BALANCE, _USER, ("DELETE FROM accounts WHERE user_id = :id",), only_rule=True),
    Corruption(
        "a balance without ledger entries",
        _BALANCE,
        "SELECT 'ff' AS id",
        (
            "INSERT INTO users (id, phone, created_at) VALUES (:id, :id, 0)",
            "INSERT INTO accounts (user_id, balance, expires_at) VALUES (:id, 5, 0)",
            "UPDATE totals SET amount = amount + 1 WHERE name = 'users'",
        ),
        only_rule=True,
    ),
    Corruption(
        "a wrong last entry",
        _BALANCE,
        _USER,
        ("UPDATE accounts SET last_entry = last_entry - 1 WHERE user_id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a last entry of another user",
        _BALANCE,
        "SELECT 'ff' AS id, MAX(id) AS entry FROM ledger",
        (
            "INSERT INTO users (id, phone, created_at) VALUES (:id, :id, 0)",
            "INSERT INTO accounts (user_id, balance, expires_at, last_entry) VALUES (:id, 0, 0, :entry)",
            "UPDATE totals SET amount = amount + 1 WHERE name = 'users'",
        ),
        only_rule=True,
    ),
    Corruption(
        "a wrong previous entry",
        _HISTORY,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET previous = previous - 1 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a negative balance",
        _HISTORY,
        "SELECT MAX(id) AS id, user_id FROM ledger WHERE kind = 'charge'",
        (
            "UPDATE ledger SET amount = amount - 900000, balance = balance - 900000 WHERE id = :id",
            "UPDATE accounts SET balance = balance - 900000 WHERE user_id = :user_id",
        ),
        only_rule=True,
    ),
    Corruption(
        "a wrong balance in an entry",
        _HISTORY,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET balance = balance + 1 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption("a wrong amount", _HISTORY, _ENTRY.format("charge"), ("UPDATE ledger SET amount = -2 WHERE id = :id",)),
    Corruption("missing entries", _BALANCE, _USER, ("DELETE FROM ledger WHERE user_id = :id",)),
    Corruption(
        "a negative balance that was balanced later",
        _HISTORY,
        "SELECT adjust.id, adjust.user_id FROM ledger AS adjust WHERE kind = 'adjust' LIMIT 1",
        (
            "UPDATE ledger SET balance = balance - 900000 WHERE user_id = :user_id AND kind = 'adjust'",
            "UPDATE ledger SET amount = amount - 900000 WHERE user_id = :user_id AND kind = 'adjust'",
            "UPDATE ledger SET balance = balance - 900000 WHERE user_id = :user_id AND kind IN ('charge', 'refund')",
            """
            INSERT INTO ledger
            SELECT (SELECT MAX(id) + 1 FROM ledger), user_id, 'adjust', 900000, balance, 'gg', 0, last_entry
            FROM accounts WHERE user_id = :user_id
            """,
            "INSERT INTO adjustments VALUES ('gg', :user_id, '', 0)",
        ),
    ),
    Corruption(
        "an unknown kind",
        "an entry has a known kind",
        _ENTRY.format("charge"),
        ("UPDATE ledger SET kind = 'bonus' WHERE id = :id",),
    ),
    Corruption(
        "a key of another user",
        "an idempotency key belongs to the same user as its task or order",
        "SELECT key AS id, user_id FROM idempotency WHERE task_id IS NOT NULL LIMIT 1",
        ("UPDATE idempotency SET user_id = (SELECT MAX(id) FROM users WHERE id <> :user_id) WHERE key = :id",),
        only_rule=True,
    ),
    Corruption(
        "a granted gift without an entry",
        _GIFT_GRANTED,
        _SIGNUP_GIFT.format("NULL"),
        ("UPDATE signup_gifts SET granted_at = 1 WHERE user_id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a gift of another amount than its entry",
        _GIFT_GRANTED,
        _SIGNUP_GIFT.format("NOT NULL"),
        ("UPDATE signup_gifts SET amount = amount + 1 WHERE user_id = :id",),
        only_rule=True,
    ),
    Corruption(
        "an ungranted gift with an entry",
        _GIFT_GRANTED,
        _SIGNUP_GIFT.format("NOT NULL"),
        ("UPDATE signup_gifts SET granted_at = NULL WHERE user_id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a gift entry without a signup gift",
        _GIFT_ENTRY,
        "SELECT id, user_id FROM ledger WHERE kind = 'gift' LIMIT 1",
        ("DELETE FROM signup_gifts WHERE user_id = :user_id",),
        only_rule=True,
    ),
    Corruption(
        "a charge with a positive amount",
        _SIGN,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET amount = 1 WHERE id = :id",),
    ),
    Corruption(
        "a task without its charge", _CHARGED, _TASK.format("success"), ("DELETE FROM ledger WHERE reference = :id",)
    ),
    Corruption(
        "a charge without its task",
        _CHARGE,
        _ENTRY.format("charge"),
        ("DELETE FROM tasks WHERE id = :reference", "DELETE FROM idempotency WHERE task_id = :reference"),
    ),
    Corruption(
        "a charge of a user who does not exist",
        _CHARGE,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET user_id = 'zz' WHERE id = :id",),
    ),
    Corruption(
        "a task charged to another user",
        _CHARGED,
        _TASK.format("success"),
        ("UPDATE tasks SET user_id = (SELECT id FROM users WHERE id <> :user_id) WHERE id = :id",),
    ),
    Corruption(
        "two charges for a task",
        _CHARGED,
        _TASK.format("success"),
        (
            *_LEDGER_WITHOUT_UNIQUE,
            """
            INSERT INTO ledger SELECT id + 1, user_id, kind, amount, balance, reference, 0, previous
            FROM ledger WHERE reference = :id
            """,
        ),
    ),
    Corruption(
        "a failed task without its refund",
        _REFUNDED,
        _TASK.format("success"),
        ("UPDATE tasks SET status = 'failed' WHERE id = :id",),
    ),
    Corruption(
        "two refunds for a task",
        _REFUNDED,
        _TASK.format("failed"),
        (
            *_LEDGER_WITHOUT_UNIQUE,
            """
            INSERT INTO ledger SELECT id + 1, user_id, kind, 1, balance + 1, reference, 0, previous
            FROM ledger WHERE reference = :id AND kind = 'refund'
            """,
        ),
    ),
    Corruption(
        "a refund for a task that succeeded",
        _REFUND,
        _ENTRY.format("refund"),
        ("UPDATE tasks SET status = 'success' WHERE id = :reference",),
    ),
    Corruption(
        "a refund of more than was charged",
        _EXACT,
        _ENTRY.format("refund"),
        (
            "UPDATE ledger SET amount = 2 WHERE id = :id",
            "UPDATE ledger SET balance = balance + 1 WHERE user_id = :user_id AND id >= :id",
            "UPDATE accounts SET balance = balance + 1 WHERE user_id = :user_id",
        ),
        only_rule=True,
    ),
    Corruption(
        "a success in the history of a waiting task",
        _HISTORY_ENDS,
        "SELECT id, user_id FROM tasks WHERE status = 'pending' LIMIT 1",
        (_TRANSITION.format(1, "succeeded"),),
        only_rule=True,
    ),
    Corruption(
        "two failures in the history of a task",
        _HISTORY_ENDS,
        _TASK.format("failed"),
        (_TRANSITION.format(1, "failed"), _TRANSITION.format(2, "failed")),
        only_rule=True,
    ),
    Corruption(
        "a success in the history of a failed task",
        _HISTORY_ENDS,
        _TASK.format("failed"),
        (_TRANSITION.format(1, "succeeded"),),
        only_rule=True,
    ),
    Corruption(
        "an unfinished task that nothing can find",
        _ONE_PLACE,
        "SELECT id, user_id FROM tasks WHERE status = 'pending' LIMIT 1",
        ("UPDATE tasks SET waiting = 0 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a finished task that waits",
        _ONE_PLACE,
        _TASK.format("success"),
        ("UPDATE tasks SET waiting = 1 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a task that waits and is held",
        _ONE_PLACE,
        "SELECT id, user_id FROM tasks WHERE status = 'pending' LIMIT 1",
        ("UPDATE tasks SET holder = 'here', lease_until = 1 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a deleted task with results",
        "a deleted task is finished and has no results",
        _TASK.format("success"),
        ("UPDATE tasks SET deleted_at = 1 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a picture that is not counted",
        _DISK_USE,
        _USER,
        (_PICTURE,),
        only_rule=True,
    ),
    Corruption(
        "disk use without pictures",
        _DISK_USE,
        _USER,
        ("INSERT INTO disk_use VALUES (:id, 5)",),
        only_rule=True,
    ),
    Corruption(
        "a paid order without its grant",
        _GRANTED,
        _ORDER.format("closed"),
        ("UPDATE orders SET status = 'paid', transaction_id = 'gg' WHERE id = :id",),
    ),
    Corruption(
        "a refunded order without its grant",
        _GRANTED,
        _ORDER.format("closed"),
        (
            "UPDATE orders SET status = 'refunded' WHERE id = :id",
            "UPDATE totals SET amount = amount + 1 WHERE name = 'orders.refunded'",
            "UPDATE totals SET amount = amount - 1 WHERE name = 'orders.closed'",
        ),
        only_rule=True,
    ),
    Corruption(
        "a grant of another amount than the order's quota",
        _GRANTED,
        _ORDER.format("paid"),
        ("UPDATE orders SET quota = quota + 1 WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a grant for an order that is not paid",
        _GRANT,
        _ENTRY.format("grant"),
        ("UPDATE orders SET status = 'closed' WHERE id = :reference",),
    ),
    Corruption(
        "an adjustment without its entry",
        _ADJUSTED,
        "SELECT 'gg' AS id, id AS user_id FROM users LIMIT 1",
        ("INSERT INTO adjustments VALUES (:id, :user_id, '', 0)",),
        only_rule=True,
    ),
    Corruption(
        "an adjust entry without its adjustment",
        _ADJUST,
        "SELECT id, reference FROM ledger WHERE kind = 'adjust' LIMIT 1",
        ("DELETE FROM adjustments WHERE id = :reference",),
        only_rule=True,
    ),
    Corruption(
        "a broken foreign key",
        "every foreign key refers to an existing row",
        "SELECT id FROM sessions LIMIT 1 OFFSET 7",
        ("UPDATE sessions SET user_id = 'nobody' WHERE id = :id",),
        only_rule=True,
    ),
    Corruption(
        "a wrong total",
        "the stored totals equal the counted rows",
        "SELECT 'revenue' AS id",
        ("UPDATE totals SET amount = amount + 1 WHERE name = :id",),
        only_rule=True,
    ),
)


def damage_page(path: Path) -> None:
    """Overwrite the root page of the ledger."""
    connection = sqlite3.connect(path, isolation_level=None)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'ledger'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xa5" * size)
