"""The three servers start on their data and answer each call alike, so that the bench cannot rot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.calls import Call, write_people
from tests.bench.members import Member, members
from tests.bench.prober import BROKEN, CONNECTIONS, Prober, read_people
from tests.bench.procfs import threads
from tests.bench.servers import BARE, DARKROOM, OBVIOUS, Contenders, Running, WrongSums
from tests.bench.single_request import one_answer


def shape(answer: Any) -> Any:
    """The fields of an answer and the kinds of their values, at every depth."""
    if isinstance(answer, dict):
        return {key: shape(value) for key, value in answer.items()}
    return [shape(value) for value in answer] if isinstance(answer, list) else type(answer).__name__


def answers(server: Running, member: Member) -> dict[str, Any]:
    return {call.value: one_answer(server.base, call, member) for call in Call}


def test_all_three_answer_each_call_alike(tmp_path: Path) -> None:
    people = members(3)
    contenders = Contenders(tmp_path, people, logins=1)
    with contenders.running(DARKROOM) as server:
        expected = answers(server, people[1])
        assert expected[Call.CREATE.value]["data"]["quota_remaining"] > 1_000_000
        assert expected[Call.LOGIN.value]["data"]["user"]["phone"] == "13900000000"
        assert len(threads(server.pid)) == 4, "the report names them: event loop, writer, two readers"
        server.check(created=4)
        with pytest.raises(WrongSums, match="5 creations were answered, 4 tasks"):
            server.check(created=5)
    contenders.teach_bare(expected)
    with contenders.running(BARE) as server:
        assert answers(server, people[1]) == expected
    with contenders.running(OBVIOUS) as server:
        assert shape(answers(server, people[1])) == shape(expected)
        assert len(threads(server.pid)) == 2


async def test_the_prober_asks_each_call_and_tells_what_broke(tmp_path: Path) -> None:
    people = members(3)
    write_people(people, tmp_path / "people.txt")
    contenders = Contenders(tmp_path, people, logins=0)
    with contenders.running(DARKROOM) as server:
        prober = Prober(server.base, read_people(tmp_path / "people.txt"), turns=2)
        await prober.run()
    assert {(answer.call, answer.status) for answer in prober.answers} == {(call.value, 200) for call in CONNECTIONS}
    prober.answers.clear()
    await prober.run()
    assert {answer.status for answer in prober.answers} == {BROKEN}
    prober.stop()
    prober.answers.clear()
    await prober.run()
    assert prober.answers == []
