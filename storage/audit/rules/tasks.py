"""Rules for tasks, their charges and their refunds."""

from __future__ import annotations

from storage.audit.rules.rule import Rule

TASK_CHARGED = Rule(
    "a task has exactly one charge",
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
    "task {} of user {}: this user has {} charges for it",
)

CHARGE_EXPLAINED = Rule(
    "a charge belongs to a task of the same user",
    """
    SELECT id, user_id, -amount, reference FROM ledger
    WHERE kind = 'charge' AND reference >= :low AND reference < :high
      AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = reference AND tasks.user_id = ledger.user_id)
    """,
    "entry {} of user {}: {} was charged for task {}, which this user does not have",
)

FAILURE_REFUNDED = Rule(
    "a failed task has exactly one refund",
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
    "task {} of user {}: it has failed, and this user has {} refunds for it",
)

REFUND_EXPLAINED = Rule(
    "a refund belongs to a failed task of the same user",
    """
    SELECT ledger.id, ledger.user_id, amount, reference, COALESCE(tasks.status, 'missing')
    FROM ledger LEFT JOIN tasks ON tasks.id = reference AND tasks.user_id = ledger.user_id
    WHERE kind = 'refund' AND reference >= :low AND reference < :high AND tasks.status IS NOT 'failed'
    """,
    "entry {} of user {}: {} was refunded for task {}, whose status is {}",
)

# CROSS JOIN makes SQLite read the refunds first, because they are few.
REFUND_EXACT = Rule(
    "a refund has the amount of the task's charge",
    """
    SELECT refund.id, refund.user_id, refund.amount, refund.reference, -charge.amount
    FROM ledger AS refund CROSS JOIN ledger AS charge ON charge.kind = 'charge' AND charge.reference = refund.reference
    WHERE refund.kind = 'refund' AND refund.reference >= :low AND refund.reference < :high
      AND refund.amount <> -charge.amount
    """,
    "entry {} of user {}: {} was refunded for task {}, but {} was charged",
)

# A former version wrote no history, so a task without any is not checked.
HISTORY_ENDS = Rule(
    "the history of a task has one end if the task is finished, the end in its state, and none otherwise",
    """
    SELECT id, user_id, status, successes, failures FROM (
        SELECT id, user_id, status,
            SUM(kind = 'succeeded') AS successes, SUM(kind = 'failed') AS failures
        FROM tasks JOIN task_transitions ON task_id = id
        WHERE id >= :low AND id < :high GROUP BY id
    )
    WHERE successes <> (status = 'success') OR failures <> (status = 'failed')
    """,
    "task {} of user {}: its status is {}, and its history has {} successes and {} failures",
)

ONE_PLACE = Rule(
    "an unfinished task is waiting, postponed or held, and a finished one is none of these",
    """
    SELECT id, user_id, status, waiting, COALESCE(resume_at, 'none'), COALESCE(holder, 'none') FROM tasks
    WHERE id >= :low AND id < :high
      AND waiting + (resume_at IS NOT NULL) + (holder IS NOT NULL) <> (status IN ('pending', 'processing'))
    """,
    "task {} of user {}: its status is {}, waiting is {}, its time to resume is {} and its holder is {}",
)

DELETED = Rule(
    "a deleted task is finished and has no results",
    """
    SELECT id, user_id, status, results FROM tasks
    WHERE id >= :low AND id < :high AND deleted_at IS NOT NULL AND (completed_at IS NULL OR results <> '[]')
    """,
    "task {} of user {}: it is deleted, its status is {} and its results are {}",
)
