"""/metrics: events are counted once, and clients cannot create new labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.raw_http import exchange, status, without_length
from tests.support.server import LocalServer, running_server
from tests.support.uploads import store_picture, task_body


async def samples(server: LocalServer, **headers: str) -> dict[tuple[str, ...], float]:
    """Return all samples by their name and the values of their labels, ordered by label name."""
    response = await server.get("/metrics", headers=headers)
    assert response.status == 200 and response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(response.raw.decode())
        for sample in family.samples
    }


async def test_charges_refusals_and_commits_are_counted(server: LocalServer) -> None:
    before = await samples(server)
    member = await server.new_member()
    await server.create_task(member, await store_picture(server, member))
    non_member = await server.new_user()
    refused = await server.post("/api/task/create", task_body(await store_picture(server, non_member)), user=non_member)
    assert refused.refusal == (403, 1002)
    after = await samples(server)

    def increase(*sample: str) -> float:
        return after[sample] - before.get(sample, 0)

    assert (
        increase("darkroom_ledger_entries_total", "charge")
        == increase("darkroom_ledger_generations_total", "charge")
        == 1
    )
    assert increase("darkroom_ledger_entries_total", "grant") == 1
    assert increase("darkroom_ledger_generations_total", "grant") == 100
    assert increase("darkroom_ledger_entries_total", "refund") == 0
    assert increase("darkroom_http_refusals_total", "1002") == 1
    assert increase("darkroom_http_requests_total", "POST", "/api/task/create", "200") == 1
    assert increase("darkroom_http_requests_total", "POST", "/api/task/create", "403") == 1
    assert increase("darkroom_http_request_seconds_count", "POST", "/api/task/create", "200") == 1
    assert increase("darkroom_quota_commands_count") == increase("darkroom_quota_commands_sum") == 3
    assert increase("darkroom_commit_seconds_count") == increase("darkroom_commit_transactions_count") >= 3
    assert increase("darkroom_mailbox_wait_seconds_count", "quota") >= 3
    assert after["darkroom_mailbox_messages", "tasks"] == 0


async def test_a_request_is_counted_by_its_route_template_and_a_known_method(server: LocalServer) -> None:
    user = await server.new_user()
    before = await samples(server)
    for number, method in enumerate(("LOCK", "PROPFIND", "DELETE")):
        assert (await server.get(f"/api/task/{number:032}", user=user)).status == 404
        assert (await server.get(f"/nowhere/{number}")).status == 404
        assert status(await exchange(server, without_length(method, "/health"))) == 405
        assert status(await exchange(server, b"no http\r\n\r\n")) == 400
    new_samples = {
        sample
        for sample in await samples(server)
        if sample not in before and sample[0] == "darkroom_http_requests_total"
    }
    assert new_samples <= {
        ("darkroom_http_requests_total", "GET", "/api/task/{taskId}", "404"),
        ("darkroom_http_requests_total", "GET", "(no route)", "404"),
        ("darkroom_http_requests_total", "other", "(no route)", "405"),
        ("darkroom_http_requests_total", "other", "(no route)", "400"),
    }


async def test_without_a_token_only_this_machine_may_read_the_metrics(server: LocalServer) -> None:
    for headers in (
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1"},
    ):
        assert (await server.get("/metrics", headers=headers)).refusal == (403, 4003)
    assert (await server.get("/metrics")).status == 200


@pytest.fixture
def token() -> str:
    return "a scraper's token, long enough to be one"


async def test_with_a_token_only_its_bearer_may_read_the_metrics(tmp_path: Path, token: str) -> None:
    async with running_server(tmp_path, metrics={"token": token}) as server:
        assert await samples(server, **{"Authorization": f"Bearer {token}", "X-Forwarded-For": "192.0.2.1"})
        for authorization in ("", "Bearer ", f"Bearer {token}x", f"Bearer {token[:-1]}", f"Basic {token}", token):
            assert (await server.get("/metrics", headers={"Authorization": authorization})).refusal == (401, 1001)
        assert (await server.get("/metrics")).refusal == (401, 1001)
