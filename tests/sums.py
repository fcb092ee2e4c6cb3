"""What must hold in every database, whatever a test did to it."""

from __future__ import annotations

from storage.database import Connection, Database

_WRONG = {
    "a balance is the sum of its ledger": """
        SELECT user_id FROM accounts WHERE balance <>
            (SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE ledger.user_id = accounts.user_id)
    """,
    "every task was charged, and every charge has its task": """
        SELECT id FROM tasks WHERE id NOT IN (SELECT reference FROM ledger WHERE kind = 'charge')
        UNION ALL SELECT reference FROM ledger WHERE kind = 'charge' AND reference NOT IN (SELECT id FROM tasks)
    """,
    "exactly the failed tasks are refunded": """
        SELECT id FROM tasks
        WHERE (status = 'failed') <> (id IN (SELECT reference FROM ledger WHERE kind = 'refund'))
    """,
    "a refund gives back what was charged": """
        SELECT refund.reference FROM ledger AS refund
        JOIN ledger AS charge ON charge.kind = 'charge' AND charge.reference = refund.reference
        WHERE refund.kind = 'refund' AND refund.amount <> -charge.amount
    """,
    "each entry continues the balance of the one before": """
        SELECT id FROM (
            SELECT id, balance, SUM(amount) OVER (PARTITION BY user_id ORDER BY id) AS total FROM ledger
        ) WHERE balance <> total
    """,
    "exactly the paid orders are granted": """
        SELECT id FROM orders
        WHERE (status = 'paid') <> (id IN (SELECT reference FROM ledger WHERE kind = 'grant'))
    """,
    "a balance is never negative": "SELECT id FROM ledger WHERE balance < 0",
}


def broken_sums(connection: Connection) -> list[str]:
    """Each rule that does not hold, with whom it is broken for."""
    found = [(rule, connection.execute(sql).fetchall()) for rule, sql in _WRONG.items()]
    return [f"{rule}: not so for {rows}" for rule, rows in found if rows]


async def assert_sums(db: Database) -> None:
    assert await db.read(broken_sums) == []
