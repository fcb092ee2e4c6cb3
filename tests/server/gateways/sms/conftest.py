"""Each real sender, connected to its fake provider on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.server.gateways.sms import aliyun_provider, tencent_provider, webhook_provider
from tests.server.gateways.sms.connected_sender import ConnectedSender, connected_sender


@pytest.fixture
async def tencent() -> AsyncIterator[ConnectedSender]:
    async with connected_sender(tencent_provider) as sms:
        yield sms


@pytest.fixture
async def aliyun() -> AsyncIterator[ConnectedSender]:
    async with connected_sender(aliyun_provider) as sms:
        yield sms


@pytest.fixture
async def webhook() -> AsyncIterator[ConnectedSender]:
    async with connected_sender(webhook_provider) as sms:
        yield sms
