"""Each real sender with its provider on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.server.gateways.sms import aliyun_wire, tencent_wire, webhook_wire
from tests.server.gateways.sms.wire import Wire, wired


@pytest.fixture
async def tencent() -> AsyncIterator[Wire]:
    async with wired(tencent_wire) as wire:
        yield wire


@pytest.fixture
async def aliyun() -> AsyncIterator[Wire]:
    async with wired(aliyun_wire) as wire:
        yield wire


@pytest.fixture
async def webhook() -> AsyncIterator[Wire]:
    async with wired(webhook_wire) as wire:
        yield wire
