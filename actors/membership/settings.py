"""The settings of memberships: the plans on offer, and how long an order can be paid."""

from __future__ import annotations

from pydantic import Field, field_validator

from actors.membership.plans import Plan
from actors.settings import Section

MONTHLY = Plan(id="monthly", name="月度会员", price=9900, quota=100, days=30)


class MembershipSettings(Section):
    """The section `[membership]`."""

    plans: list[Plan] = Field([MONTHLY], min_length=1)
    order_minutes: int = Field(30, ge=5, le=120)

    @field_validator("plans")
    @classmethod
    def _check_unique(cls, plans: list[Plan]) -> list[Plan]:
        ids = [plan.id for plan in plans]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two plans have the same id: {', '.join(sorted(ids))}")
        return plans
