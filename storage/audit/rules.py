"""What must hold of every person, ledger entry, task, order and adjustment, as the SQL that finds whoever breaks it.

Each statement looks at one chunk, the ids from :low up to but without :high. It compares only what is committed
together, so it is right in whatever snapshot it gets: a balance with its person's entries, a task with its charge, a
failure with its refund, a payment with its grant.

Ids grow with time and so do rows, so a chunk of tasks, orders or entries lies together on the disk. What one person has
does not, and no index leads to it: the table is read from end to end and sorted, in temporary files where there is much
of it. So a chunk of people is a whole pass over the table, and large.

Uniqueness is counted rather than believed, and so is ownership: a task's charge is one that its own person paid.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """`sql` finds those in a chunk that break the promise; `tells` says with the found columns how."""

    promise: str
    sql: str
    tells: str


@dataclass(frozen=True, slots=True)
class Walk:
    """Rules over the same ids, from `lowest` on, those of `table`, `step` rows of it at a time."""

    noun: str
    table: str
    step: int
    rules: tuple[Rule, ...]
    lowest: str | int = ""


_BALANCE = Rule(
    "a balance is the sum of its ledger",
    """
    WITH sums AS MATERIALIZED (
        SELECT user_id, SUM(amount) AS total, MAX(id) AS last FROM ledger
        WHERE user_id >= :low AND user_id < :high GROUP BY user_id
    )
    SELECT user_id, COALESCE(balance, 'missing'), total, COALESCE(last_entry, 'none'), last
    FROM sums LEFT JOIN accounts USING (user_id)
    WHERE balance IS NOT total OR last_entry IS NOT last
    UNION ALL
    SELECT user_id, balance, 0, COALESCE(last_entry, 'none'), 'none' FROM accounts
    WHERE user_id >= :low AND user_id < :high AND (balance <> 0 OR last_entry IS NOT NULL)
      AND user_id NOT IN (SELECT user_id FROM sums)
    """,
    "person {}: the balance is {}, the ledger adds up to {}; the last entry is said to be {}, and is {}",
)

# One altered amount makes every later sum differ, so only an entry at which the difference changes is named.
_HISTORY = Rule(
    "an entry leaves the sum of all up to it, and never less than nothing",
    """
    SELECT id, user_id, balance, COALESCE(previous, 'none'), total, COALESCE(prior, 'none') FROM (
        SELECT id, user_id, amount, balance, previous, LAG(id) OVER history AS prior,
            SUM(amount) OVER history AS total, LAG(balance, 1, 0) OVER history AS before
        FROM ledger WHERE user_id >= :low AND user_id < :high
        WINDOW history AS (PARTITION BY user_id ORDER BY id ROWS UNBOUNDED PRECEDING)
    )
    WHERE (balance <> total AND balance <> before + amount) OR total < 0 OR previous IS NOT prior
    """,
    "entry {} of person {}: it says that it left {} and came after entry {}; those up to it add up to {}, and it came "
    "after {}",
)

# "+kind" keeps SQLite from searching by kind, which in a chunk of ids would be a scan of all that was ever charged.
_DIRECTION = Rule(
    "charges and expiries take; grants, refunds and gifts give",
    """
    SELECT id, user_id, kind, amount FROM ledger
    WHERE id >= :low AND id < :high
      AND ((+kind IN ('charge', 'expire') AND amount >= 0) OR (+kind IN ('grant', 'refund', 'gift') AND amount <= 0))
    """,
    "entry {} of person {}: the amount of this {} is {}",
)

# A CHECK says so too, but a read-only connection does not check CHECKs.
_KIND = Rule(
    "an entry is of a known kind",
    """
    SELECT id, user_id, kind, amount FROM ledger
    WHERE id >= :low AND id < :high AND +kind NOT IN ('charge', 'refund', 'grant', 'expire', 'adjust', 'gift')
    """,
    "entry {} of person {}: its kind is {}, its amount {}",
)

_KEYS = Rule(
    "what a key led to belongs to the key's person",
    """
    SELECT k.key, k.user_id, 'task', tasks.id, tasks.user_id
    FROM idempotency AS k CROSS JOIN tasks ON tasks.id = k.task_id
    WHERE k.user_id >= :low AND k.user_id < :high AND tasks.user_id <> k.user_id
    UNION ALL
    SELECT k.key, k.user_id, 'order', orders.id, orders.user_id
    FROM order_keys AS k CROSS JOIN orders ON orders.id = k.order_id
    WHERE k.user_id >= :low AND k.user_id < :high AND orders.user_id <> k.user_id
    """,
    "key {!r} of person {}: it led to {} {} of person {}",
)

_TASK_CHARGED = Rule(
    "a task has one charge",
    """
    SELECT * FROM (
        SELECT id, user_id, (
            SELECT COUNT(*) FROM ledger
            WHERE kind = 'charge' AND reference = tasks.id AND ledger.user_id = tasks.user_id
        ) AS charges
        FROM tasks WHERE id >= :low AND id < :high
    )
    WHERE charges <> 1
    """,
    "task {} of person {}: its person has {} charges for it",
)

_CHARGE_EXPLAINED = Rule(
    "a charge has its task",
    """
    SELECT id, user_id, -amount, reference FROM ledger
    WHERE kind = 'charge' AND reference >= :low AND reference < :high
      AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = reference AND tasks.user_id = ledger.user_id)
    """,
    "entry {} of person {}: {} were charged for task {}, which this person does not have",
)

_FAILURE_REFUNDED = Rule(
    "a failed task has one refund",
    """
    SELECT * FROM (
        SELECT id, user_id, (
            SELECT COUNT(*) FROM ledger
            WHERE kind = 'refund' AND reference = tasks.id AND ledger.user_id = tasks.user_id
        ) AS refunds
        FROM tasks WHERE id >= :low AND id < :high AND status = 'failed'
    )
    WHERE refunds <> 1
    """,
    "task {} of person {}: it failed, and its person has {} refunds for it",
)

_REFUND_EXPLAINED = Rule(
    "a refund has its failed task",
    """
    SELECT ledger.id, ledger.user_id, amount, reference, COALESCE(tasks.status, 'missing')
    FROM ledger LEFT JOIN tasks ON tasks.id = reference AND tasks.user_id = ledger.user_id
    WHERE kind = 'refund' AND reference >= :low AND reference < :high AND tasks.status IS NOT 'failed'
    """,
    "entry {} of person {}: {} were refunded for task {}, which is {}",
)

# CROSS JOIN looks at the refunds first, which are few.
_REFUND_EXACT = Rule(
    "a refund is what was charged",
    """
    SELECT refund.id, refund.user_id, refund.amount, refund.reference, -charge.amount
    FROM ledger AS refund CROSS JOIN ledger AS charge ON charge.kind = 'charge' AND charge.reference = refund.reference
    WHERE refund.kind = 'refund' AND refund.reference >= :low AND refund.reference < :high
      AND refund.amount <> -charge.amount
    """,
    "entry {} of person {}: {} were refunded for task {}, charged were {}",
)

# An order that was refunded keeps its grant: what becomes of the quota then is an adjustment of its own.
_ORDER_GRANTED = Rule(
    "a paid order has one grant, of the order's quota",
    """
    SELECT orders.id, orders.user_id, status, quota, COUNT(grants.id), COALESCE(SUM(grants.amount), 0)
    FROM orders LEFT JOIN ledger AS grants
        ON grants.kind = 'grant' AND grants.reference = orders.id AND grants.user_id = orders.user_id
    WHERE orders.id >= :low AND orders.id < :high AND status IN ('paid', 'refunded')
    GROUP BY orders.id HAVING COUNT(grants.id) <> 1 OR SUM(grants.amount) <> quota
    """,
    "order {} of person {}: it is {} and its quota is {}; its person has {} grants for it, of {} in all",
)

_GRANT_EXPLAINED = Rule(
    "a grant has its paid order",
    """
    SELECT ledger.id, ledger.user_id, ledger.amount, reference, COALESCE(status, 'missing')
    FROM ledger LEFT JOIN orders ON orders.id = reference AND orders.user_id = ledger.user_id
    WHERE kind = 'grant' AND reference >= :low AND reference < :high
      AND (status IS NULL OR status NOT IN ('paid', 'refunded'))
    """,
    "entry {} of person {}: {} were granted for order {}, which is {}",
)

_ADJUSTMENT_ENTERED = Rule(
    "an adjustment has one entry",
    """
    SELECT * FROM (
        SELECT id, user_id, (
            SELECT COUNT(*) FROM ledger
            WHERE kind = 'adjust' AND reference = adjustments.id AND ledger.user_id = adjustments.user_id
        ) AS entries
        FROM adjustments WHERE id >= :low AND id < :high
    )
    WHERE entries <> 1
    """,
    "adjustment {} of person {}: its person has {} entries for it",
)

_ADJUST_EXPLAINED = Rule(
    "an adjust entry has its adjustment",
    """
    SELECT id, user_id, amount, reference FROM ledger
    WHERE kind = 'adjust' AND reference >= :low AND reference < :high
      AND NOT EXISTS (SELECT 1 FROM adjustments AS a WHERE a.id = reference AND a.user_id = ledger.user_id)
    """,
    "entry {} of person {}: {} for adjustment {}, which this person does not have",
)

_GIFT_ENTERED = Rule(
    "a signup gift that was granted has one entry, of its amount, and any other has none",
    """
    SELECT gifts.user_id, gifts.amount, IIF(granted_at IS NULL, 'promised', 'granted'),
        COUNT(entries.id), COALESCE(SUM(entries.amount), 0)
    FROM signup_gifts AS gifts LEFT JOIN ledger AS entries
        ON entries.kind = 'gift' AND entries.reference = gifts.user_id AND entries.user_id = gifts.user_id
    WHERE gifts.user_id >= :low AND gifts.user_id < :high
    GROUP BY gifts.user_id
    HAVING COUNT(entries.id) <> (granted_at IS NOT NULL)
        OR (granted_at IS NOT NULL AND SUM(entries.amount) <> gifts.amount)
    """,
    "person {}: the signup gift of {} is {}; there are {} entries for it, of {} in all",
)

_GIFT_EXPLAINED = Rule(
    "a gift entry has its signup gift",
    """
    SELECT id, user_id, amount, reference FROM ledger
    WHERE kind = 'gift' AND reference >= :low AND reference < :high
      AND (user_id <> reference OR NOT EXISTS (SELECT 1 FROM signup_gifts WHERE signup_gifts.user_id = reference))
    """,
    "entry {} of person {}: {} for the signup gift of person {}, who has none or is somebody else",
)

_OF_TASKS = (_TASK_CHARGED, _CHARGE_EXPLAINED, _FAILURE_REFUNDED, _REFUND_EXPLAINED, _REFUND_EXACT)

WALKS = (
    Walk("people", "users", 250_000, (_BALANCE, _HISTORY, _KEYS, _GIFT_ENTERED, _GIFT_EXPLAINED)),
    Walk("ledger entries", "ledger", 20_000, (_DIRECTION, _KIND), lowest=-(2**63)),
    Walk("tasks", "tasks", 20_000, _OF_TASKS),
    Walk("orders", "orders", 20_000, (_ORDER_GRANTED, _GRANT_EXPLAINED)),
    Walk("adjustments", "adjustments", 20_000, (_ADJUSTMENT_ENTERED, _ADJUST_EXPLAINED)),
)
