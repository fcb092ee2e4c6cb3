"""The three servers start on their data and answer each call alike, so that the benchmark stays usable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.calls import MeasuredCall
from tests.bench.members import Member, create_members
from tests.bench.procfs import list_threads
from tests.bench.servers import BARE, BASELINE, DARKROOM, THREADS, BenchServers, RunningServer, WrongSums
from tests.bench.single_request import fetch_response


def shape(response: Any) -> Any:
    """The fields of a response and the types of their values, at every depth."""
    if isinstance(response, dict):
        return {key: shape(value) for key, value in response.items()}
    return [shape(value) for value in response] if isinstance(response, list) else type(response).__name__


def responses(server: RunningServer, member: Member) -> dict[str, Any]:
    assert len(list_threads(server.pid)) == len(THREADS[server.name])
    return {call.value: fetch_response(server.base, call, member) for call in MeasuredCall}


def test_all_three_servers_answer_each_call_alike(tmp_path: Path) -> None:
    members = create_members(3)
    servers = BenchServers(tmp_path, members, logins=1)
    with servers.running(DARKROOM) as server:
        expected = responses(server, members[1])
        server.check(created=4)
        with pytest.raises(WrongSums, match="5 creations were answered, 4 tasks"):
            server.check(created=5)
    servers.set_bare_responses(expected)
    with servers.running(BARE) as server:
        assert responses(server, members[1]) == expected
    with servers.running(BASELINE) as server:
        assert shape(responses(server, members[1])) == shape(expected)
