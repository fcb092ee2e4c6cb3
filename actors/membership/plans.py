"""The plans that users can buy."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from actors.errors import UnknownPlan
from actors.settings import Section


class Plan(Section):
    """A membership on offer: `price` in fen, `quota` in generations.

    With `rollover` the quota that is left at an early renewal stays; without it, that quota expires.
    """

    id: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    name: str = Field(min_length=1, max_length=60)
    price: int = Field(ge=1, le=100_000_000)
    quota: int = Field(ge=1, le=1_000_000)
    days: int = Field(ge=1, le=3660)
    rollover: bool = True


class Plans:
    """The plans on offer, at least one; the first is the default."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._by_id = {plan.id: plan for plan in plans}
        self.default = plans[0]

    def all(self) -> Sequence[Plan]:
        return list(self._by_id.values())

    def get(self, plan_id: str | None) -> Plan:
        """Return the plan with this id, or the default plan for None. Raises UnknownPlan."""
        if plan_id is None:
            return self.default
        if plan_id not in self._by_id:
            raise UnknownPlan(plan=plan_id, known=", ".join(self._by_id))
        return self._by_id[plan_id]
