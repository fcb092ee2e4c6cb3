"""All scans of the audit, in the order in which they run."""

from __future__ import annotations

from storage.audit.rules.adjustments import ADJUST_EXPLAINED, ADJUSTMENT_POSTED
from storage.audit.rules.ledger import KNOWN_KIND, SIGN
from storage.audit.rules.orders import GRANT_EXPLAINED, ORDER_GRANTED
from storage.audit.rules.rule import TableScan
from storage.audit.rules.tasks import (
    CHARGE_EXPLAINED,
    DELETED,
    FAILURE_REFUNDED,
    HISTORY_ENDS,
    ONE_PLACE,
    REFUND_EXACT,
    REFUND_EXPLAINED,
    TASK_CHARGED,
)
from storage.audit.rules.users import BALANCE, DISK_USE, GIFT_EXPLAINED, GIFT_POSTED, HISTORY, KEY_OWNER

_OF_TASKS = (
    *(TASK_CHARGED, CHARGE_EXPLAINED, FAILURE_REFUNDED, REFUND_EXPLAINED, REFUND_EXACT),
    *(HISTORY_ENDS, ONE_PLACE, DELETED),
)
_OF_USERS = (BALANCE, HISTORY, KEY_OWNER, GIFT_POSTED, GIFT_EXPLAINED, DISK_USE)

TABLE_SCANS = (
    TableScan("users", "users", 250_000, _OF_USERS),
    TableScan("ledger entries", "ledger", 20_000, (SIGN, KNOWN_KIND), lowest=-(2**63)),
    TableScan("tasks", "tasks", 20_000, _OF_TASKS),
    TableScan("orders", "orders", 20_000, (ORDER_GRANTED, GRANT_EXPLAINED)),
    TableScan("adjustments", "adjustments", 20_000, (ADJUSTMENT_POSTED, ADJUST_EXPLAINED)),
)
