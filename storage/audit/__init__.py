"""Whether a database keeps what Darkroom promises: `audit(connection)` names everything and everybody it does not.

`opened(folder)` is the way to a data folder's database that disturbs nobody. The promises about people, tasks, orders
and ledger entries are in rules.py, those about the database as a whole in whole.py.
"""

from storage.audit.findings import Finding, audit
from storage.audit.open import CannotAudit, opened, read_ahead
from storage.audit.whole import Extent, Tell, extent

__all__ = ["CannotAudit", "Extent", "Finding", "Tell", "audit", "extent", "opened", "read_ahead"]
