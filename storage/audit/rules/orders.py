"""Rules for orders and their grants."""

from __future__ import annotations

from storage.audit.rules.rule import Rule

# A refunded order keeps its grant: if quota is taken back, that is an adjustment.
ORDER_GRANTED = Rule(
    "a paid or refunded order has exactly one grant, of the order's quota",
    """
    SELECT orders.id, orders.user_id, status, quota, COUNT(grants.id), COALESCE(SUM(grants.amount), 0)
    FROM orders LEFT JOIN ledger AS grants
        ON grants.kind = 'grant' AND grants.reference = orders.id AND grants.user_id = orders.user_id
    WHERE orders.id >= :low AND orders.id < :high AND status IN ('paid', 'refunded')
    GROUP BY orders.id HAVING COUNT(grants.id) <> 1 OR SUM(grants.amount) <> quota
    """,
    "order {} of user {}: its status is {} and its quota is {}; this user has {} grants for it, {} in total",
)

GRANT_EXPLAINED = Rule(
    "a grant belongs to a paid or refunded order of the same user",
    """
    SELECT ledger.id, ledger.user_id, ledger.amount, reference, COALESCE(status, 'missing')
    FROM ledger LEFT JOIN orders ON orders.id = reference AND orders.user_id = ledger.user_id
    WHERE kind = 'grant' AND reference >= :low AND reference < :high
      AND (status IS NULL OR status NOT IN ('paid', 'refunded'))
    """,
    "entry {} of user {}: {} was granted for order {}, whose status is {}",
)
