"""What can be bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.errors import UnknownPlan


@dataclass(frozen=True, slots=True)
class Plan:
    """`price` in fen, `quota` in generations. `rollover`: quota left at an early renewal stays instead of lapsing."""

    id: str
    name: str
    price: int
    quota: int
    days: int
    rollover: bool


class Plans:
    """The plans on offer, at least one; the first is the default."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._by_id = {plan.id: plan for plan in plans}
        self.default = plans[0]

    def all(self) -> Sequence[Plan]:
        return list(self._by_id.values())

    def find(self, plan_id: str | None) -> Plan:
        """The default for None. Raises UnknownPlan."""
        if plan_id is None:
            return self.default
        if plan_id not in self._by_id:
            raise UnknownPlan(plan=plan_id, known=", ".join(self._by_id))
        return self._by_id[plan_id]
