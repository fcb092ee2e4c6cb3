"""Rules for each ledger entry by itself."""

from __future__ import annotations

from storage.audit.rules.rule import Rule

# "+kind" keeps SQLite from using the index on kind, which would read all charges for each chunk.
SIGN = Rule(
    "the amounts of charges and expiries are negative, and those of grants, refunds and gifts are positive",
    """
    SELECT id, user_id, kind, amount FROM ledger
    WHERE id >= :low AND id < :high
      AND ((+kind IN ('charge', 'expire') AND amount >= 0) OR (+kind IN ('grant', 'refund', 'gift') AND amount <= 0))
    """,
    "entry {} of user {}: the amount of this {} is {}",
)

# A CHECK constraint says the same, but quick_check on a read-only connection does not check it.
KNOWN_KIND = Rule(
    "an entry has a known kind",
    """
    SELECT id, user_id, kind, amount FROM ledger
    WHERE id >= :low AND id < :high AND +kind NOT IN ('charge', 'refund', 'grant', 'expire', 'adjust', 'gift')
    """,
    "entry {} of user {}: its kind is {} and its amount is {}",
)
