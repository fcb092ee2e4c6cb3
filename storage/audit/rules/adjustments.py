"""Rules for adjustments and their ledger entries."""

from __future__ import annotations

from storage.audit.rules.rule import Rule

ADJUSTMENT_POSTED = Rule(
    "an adjustment has exactly one ledger entry",
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
    "adjustment {} of user {}: this user has {} ledger entries for it",
)

ADJUST_EXPLAINED = Rule(
    "an adjust entry belongs to an adjustment of the same user",
    """
    SELECT id, user_id, amount, reference FROM ledger
    WHERE kind = 'adjust' AND reference >= :low AND reference < :high
      AND NOT EXISTS (SELECT 1 FROM adjustments AS a WHERE a.id = reference AND a.user_id = ledger.user_id)
    """,
    "entry {} of user {}: the amount is {}, but this user does not have its adjustment {}",
)
