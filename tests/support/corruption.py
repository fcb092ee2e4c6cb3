"""One row corrupted by hand, for each promise that an audit keeps watch over."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.seed_data import Size, fill

SMALL = Size(people=40, tasks=13)


@dataclass(frozen=True, slots=True)
class Corruption:
    """`pick` finds a row, `change` breaks it. The audit has to name the picked `id` under `rule`.

    `alone`: and it finds nothing else, so that no other rule could have stood in for this one.
    """

    name: str
    rule: str
    pick: str
    change: tuple[str, ...]
    alone: bool = False

    def apply(self, path: Path) -> str:
        """Corrupt the database; the id of the offender."""
        connection = raw(path)
        cursor = connection.execute(self.pick)
        picked = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
        for statement in self.change:
            connection.execute(statement, picked)
        connection.close()
        return str(picked["id"])


def filled(folder: Path, size: Size = SMALL) -> Path:
    """The path of a sound database in that data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "darkroom.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    fill(connection, size, time.time_ns() // 1_000_000)
    connection.close()
    return path


def raw(path: Path) -> sqlite3.Connection:
    """A connection that nothing holds back: no triggers, no CHECKs, no foreign keys."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


_ENTRY = "SELECT id, user_id, reference FROM ledger WHERE kind = '{}' LIMIT 1 OFFSET 7"
_TASK = "SELECT id, user_id FROM tasks WHERE status = '{}' LIMIT 1 OFFSET 7"
_ORDER = "SELECT id, user_id FROM orders WHERE status = '{}' LIMIT 1 OFFSET 1"
_PERSON = "SELECT id FROM users LIMIT 1 OFFSET 7"
_LEDGER_WITHOUT_UNIQUE = (
    "ALTER TABLE ledger RENAME TO former",
    "CREATE TABLE ledger (id, user_id, kind, amount, balance, reference, created_at, previous)",
    "INSERT INTO ledger SELECT * FROM former",
    "DROP TABLE former",
)
_BALANCE = "a balance is the sum of its ledger"
_HISTORY = "an entry leaves the sum of all up to it, and never less than nothing"
_CHARGED, _CHARGE = "a task has one charge", "a charge has its task"
_REFUNDED, _REFUND = "a failed task has one refund", "a refund has its failed task"
_EXACT = "a refund is what was charged"
_GRANTED, _GRANT = "a paid order has one grant, of the order's quota", "a grant has its paid order"
_ADJUSTED, _ADJUST = "an adjustment has one entry", "an adjust entry has its adjustment"
_DIRECTION = "charges and expiries take; grants, refunds and gifts give"
_GIVEN, _GIFT = (
    "a signup gift that was granted has one entry, of its amount, and any other has none",
    "a gift entry has its signup gift",
)
_GIFTED = "SELECT user_id AS id FROM signup_gifts WHERE granted_at IS {} LIMIT 1"

CORRUPTIONS = (
    Corruption(
        "a balance", _BALANCE, _PERSON, ("UPDATE accounts SET balance = balance + 1 WHERE user_id = :id",), alone=True
    ),
    Corruption("an account that is gone", _BALANCE, _PERSON, ("DELETE FROM accounts WHERE user_id = :id",), alone=True),
    Corruption(
        "an account without a ledger",
        _BALANCE,
        "SELECT 'ff' AS id",
        (
            "INSERT INTO users (id, phone, created_at) VALUES (:id, :id, 0)",
            "INSERT INTO accounts (user_id, balance, expires_at) VALUES (:id, 5, 0)",
            "UPDATE totals SET amount = amount + 1 WHERE name = 'users'",
        ),
        alone=True,
    ),
    Corruption(
        "where somebody's ledger ends",
        _BALANCE,
        _PERSON,
        ("UPDATE accounts SET last_entry = last_entry - 1 WHERE user_id = :id",),
        alone=True,
    ),
    Corruption(
        "an account that names an entry of somebody else",
        _BALANCE,
        "SELECT 'ff' AS id, MAX(id) AS entry FROM ledger",
        (
            "INSERT INTO users (id, phone, created_at) VALUES (:id, :id, 0)",
            "INSERT INTO accounts (user_id, balance, expires_at, last_entry) VALUES (:id, 0, 0, :entry)",
            "UPDATE totals SET amount = amount + 1 WHERE name = 'users'",
        ),
        alone=True,
    ),
    Corruption(
        "a link between entries",
        _HISTORY,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET previous = previous - 1 WHERE id = :id",),
        alone=True,
    ),
    Corruption(
        "a debt",
        _HISTORY,
        "SELECT MAX(id) AS id, user_id FROM ledger WHERE kind = 'charge'",
        (
            "UPDATE ledger SET amount = amount - 900000, balance = balance - 900000 WHERE id = :id",
            "UPDATE accounts SET balance = balance - 900000 WHERE user_id = :user_id",
        ),
        alone=True,
    ),
    Corruption(
        "an entry's balance",
        _HISTORY,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET balance = balance + 1 WHERE id = :id",),
        alone=True,
    ),
    Corruption("an amount", _HISTORY, _ENTRY.format("charge"), ("UPDATE ledger SET amount = -2 WHERE id = :id",)),
    Corruption("an entry that is gone", _BALANCE, _PERSON, ("DELETE FROM ledger WHERE user_id = :id",)),
    Corruption(
        "a debt that was made good",
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
        "a kind",
        "an entry is of a known kind",
        _ENTRY.format("charge"),
        ("UPDATE ledger SET kind = 'bonus' WHERE id = :id",),
    ),
    Corruption(
        "a key's owner",
        "what a key led to belongs to the key's person",
        "SELECT key AS id, user_id FROM idempotency WHERE task_id IS NOT NULL LIMIT 1",
        ("UPDATE idempotency SET user_id = (SELECT MAX(id) FROM users WHERE id <> :user_id) WHERE key = :id",),
        alone=True,
    ),
    Corruption(
        "a gift that was never given",
        _GIVEN,
        _GIFTED.format("NULL"),
        ("UPDATE signup_gifts SET granted_at = 1 WHERE user_id = :id",),
        alone=True,
    ),
    Corruption(
        "a gift of another amount",
        _GIVEN,
        _GIFTED.format("NOT NULL"),
        ("UPDATE signup_gifts SET amount = amount + 1 WHERE user_id = :id",),
        alone=True,
    ),
    Corruption(
        "a gift that would be given again",
        _GIVEN,
        _GIFTED.format("NOT NULL"),
        ("UPDATE signup_gifts SET granted_at = NULL WHERE user_id = :id",),
        alone=True,
    ),
    Corruption(
        "a gift that nobody promised",
        _GIFT,
        "SELECT id, user_id FROM ledger WHERE kind = 'gift' LIMIT 1",
        ("DELETE FROM signup_gifts WHERE user_id = :user_id",),
        alone=True,
    ),
    Corruption("a direction", _DIRECTION, _ENTRY.format("charge"), ("UPDATE ledger SET amount = 1 WHERE id = :id",)),
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
        "a charge of somebody who does not exist",
        _CHARGE,
        _ENTRY.format("charge"),
        ("UPDATE ledger SET user_id = 'zz' WHERE id = :id",),
    ),
    Corruption(
        "a task that somebody else has paid for",
        _CHARGED,
        _TASK.format("success"),
        ("UPDATE tasks SET user_id = (SELECT id FROM users WHERE id <> :user_id) WHERE id = :id",),
    ),
    Corruption(
        "two charges",
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
        "a failure without its refund",
        _REFUNDED,
        _TASK.format("success"),
        ("UPDATE tasks SET status = 'failed' WHERE id = :id",),
    ),
    Corruption(
        "two refunds",
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
        "a refund without its failure",
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
        alone=True,
    ),
    Corruption(
        "a payment without its grant",
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
        alone=True,
    ),
    Corruption(
        "a grant of another quota",
        _GRANTED,
        _ORDER.format("paid"),
        ("UPDATE orders SET quota = quota + 1 WHERE id = :id",),
        alone=True,
    ),
    Corruption(
        "a grant without its payment",
        _GRANT,
        _ENTRY.format("grant"),
        ("UPDATE orders SET status = 'closed' WHERE id = :reference",),
    ),
    Corruption(
        "an adjustment without its entry",
        _ADJUSTED,
        "SELECT 'gg' AS id, id AS user_id FROM users LIMIT 1",
        ("INSERT INTO adjustments VALUES (:id, :user_id, '', 0)",),
        alone=True,
    ),
    Corruption(
        "an entry without its adjustment",
        _ADJUST,
        "SELECT id, reference FROM ledger WHERE kind = 'adjust' LIMIT 1",
        ("DELETE FROM adjustments WHERE id = :reference",),
        alone=True,
    ),
    Corruption(
        "a reference",
        "every reference leads somewhere",
        "SELECT id FROM sessions LIMIT 1 OFFSET 7",
        ("UPDATE sessions SET user_id = 'nobody' WHERE id = :id",),
        alone=True,
    ),
    Corruption(
        "a total",
        "the totals are what there is",
        "SELECT 'revenue' AS id",
        ("UPDATE totals SET amount = amount + 1 WHERE name = :id",),
        alone=True,
    ),
)


def damage(path: Path) -> None:
    """Overwrite a page in the middle of the ledger."""
    connection = sqlite3.connect(path, isolation_level=None)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'ledger'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xa5" * size)
