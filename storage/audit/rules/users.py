"""Rules for what each user has: balance, entries, idempotency keys, signup gift."""

from __future__ import annotations

from storage.audit.rules.rule import Rule

BALANCE = Rule(
    "a balance equals the sum of the user's ledger entries",
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
    "user {}: the balance is {} and the ledger entries add up to {}; the account's last entry is {} and the ledger's "
    "last entry is {}",
)

# One altered amount makes all later sums differ, so only the entries where the difference changes are violations.
HISTORY = Rule(
    "an entry names the user's previous entry, and its balance is the sum of the amounts so far and not negative",
    """
    SELECT id, user_id, balance, COALESCE(previous, 'none'), total, COALESCE(prior, 'none') FROM (
        SELECT id, user_id, amount, balance, previous, LAG(id) OVER history AS prior,
            SUM(amount) OVER history AS total, LAG(balance, 1, 0) OVER history AS before
        FROM ledger WHERE user_id >= :low AND user_id < :high
        WINDOW history AS (PARTITION BY user_id ORDER BY id ROWS UNBOUNDED PRECEDING)
    )
    WHERE (balance <> total AND balance <> before + amount) OR total < 0 OR previous IS NOT prior
    """,
    "entry {} of user {}: its balance is {} and its previous entry is {}; the amounts so far add up to {}, and the "
    "entry before it is {}",
)

KEY_OWNER = Rule(
    "an idempotency key belongs to the same user as its task or order",
    """
    SELECT k.key, k.user_id, 'task', tasks.id, tasks.user_id
    FROM idempotency AS k CROSS JOIN tasks ON tasks.id = k.task_id
    WHERE k.user_id >= :low AND k.user_id < :high AND tasks.user_id <> k.user_id
    UNION ALL
    SELECT k.key, k.user_id, 'order', orders.id, orders.user_id
    FROM order_keys AS k CROSS JOIN orders ON orders.id = k.order_id
    WHERE k.user_id >= :low AND k.user_id < :high AND orders.user_id <> k.user_id
    """,
    "key {!r} of user {}: its {} {} belongs to user {}",
)

GIFT_POSTED = Rule(
    "a granted signup gift has exactly one ledger entry of its amount, and an ungranted one has none",
    """
    SELECT gifts.user_id, gifts.amount, IIF(granted_at IS NULL, 'not granted', 'granted'),
        COUNT(entries.id), COALESCE(SUM(entries.amount), 0)
    FROM signup_gifts AS gifts LEFT JOIN ledger AS entries
        ON entries.kind = 'gift' AND entries.reference = gifts.user_id AND entries.user_id = gifts.user_id
    WHERE gifts.user_id >= :low AND gifts.user_id < :high
    GROUP BY gifts.user_id
    HAVING COUNT(entries.id) <> (granted_at IS NOT NULL)
        OR (granted_at IS NOT NULL AND SUM(entries.amount) <> gifts.amount)
    """,
    "user {}: the signup gift of {} is {}, and it has {} ledger entries, {} in total",
)

GIFT_EXPLAINED = Rule(
    "a gift entry belongs to the signup gift of the same user",
    """
    SELECT id, user_id, amount, reference FROM ledger
    WHERE kind = 'gift' AND reference >= :low AND reference < :high
      AND (user_id <> reference OR NOT EXISTS (SELECT 1 FROM signup_gifts WHERE signup_gifts.user_id = reference))
    """,
    "entry {} of user {}: the amount is {}, but user {} has no signup gift or is another user",
)

DISK_USE = Rule(
    "the disk use of a user equals the sum of the sizes of the user's pictures",
    """
    WITH sums AS MATERIALIZED (
        SELECT user_id, SUM(bytes) AS total FROM pictures WHERE user_id >= :low AND user_id < :high GROUP BY user_id
    )
    SELECT user_id, COALESCE(bytes, 0), total FROM sums LEFT JOIN disk_use USING (user_id) WHERE bytes IS NOT total
    UNION ALL
    SELECT user_id, bytes, 0 FROM disk_use
    WHERE user_id >= :low AND user_id < :high AND bytes <> 0 AND user_id NOT IN (SELECT user_id FROM sums)
    """,
    "user {}: the disk use is {} bytes, and the pictures have {} bytes",
)
