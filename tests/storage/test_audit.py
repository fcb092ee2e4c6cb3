"""Every rule of the audit finds the one row that breaks it, wherever the chunks begin and end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.audit import CannotAudit, Extent, audit, extent, opened, read_ahead
from storage.audit.findings import SHOWN
from storage.audit.rules import WALKS
from tests.bench.seed_data import PENDING
from tests.support.corruption import CORRUPTIONS, SMALL, Corruption, damage, filled, raw

FILE = "the file passes SQLite's quick_check"


@pytest.fixture(params=[3, 1_000_000], ids=["small chunks", "one chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    walks = [replace(walk, step=request.param) for walk in WALKS]
    monkeypatch.setattr("storage.audit.findings.WALKS", walks)
    yield


def found(folder: Path) -> dict[str, list[str]]:
    with opened(folder) as connection:
        return {finding.rule: finding.offenders for finding in audit(connection)}


@pytest.mark.usefixtures("chunks")
def test_a_database_with_a_past_is_sound(tmp_path: Path) -> None:
    filled(tmp_path)
    assert found(tmp_path) == {}
    with opened(tmp_path) as connection:
        assert extent(connection) == Extent(people=40, entries=520 + 52 + 4 * 2 + 40 + 4, tasks=520, orders=48)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name)
def test_one_corrupted_row_is_named(tmp_path: Path, corruption: Corruption) -> None:
    offender = corruption.apply(filled(tmp_path))
    broken = found(tmp_path)
    # An entry's number is short, and may stand anywhere in a sentence about another one.
    who = f"entry {offender} of" if offender.isdigit() and len(offender) < 32 else offender
    named = [sentence for sentence in broken[corruption.rule] if who in sentence]
    assert named, broken
    if corruption.alone:
        assert broken == {corruption.rule: named}


def test_each_rule_reads_its_chunk_and_no_more(tmp_path: Path) -> None:
    """By a range of ids, or by whatever has one of these ids: never all of a table, nor all entries of a kind."""
    filled(tmp_path)
    with opened(tmp_path) as connection:
        for rule in (rule for walk in WALKS[1:] for rule in walk.rules):  # the first reads tables from end to end
            plan = connection.execute(f"EXPLAIN QUERY PLAN {rule.sql}", {"low": "", "high": b""}).fetchall()
            reads = [step for *_, step in plan if step.startswith(("SCAN", "SEARCH")) and "subquery" not in step]
            assert reads, rule.promise
            assert all("id" in step.partition("(")[2] or "reference" in step for step in reads), plan


def test_no_rule_is_without_its_corruption() -> None:
    rules = {rule.promise for walk in WALKS for rule in walk.rules}
    assert rules <= {corruption.rule for corruption in CORRUPTIONS}


def test_an_altered_amount_is_named_and_not_all_that_came_after_it(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(raw(path)) as connection:
        (first,) = connection.execute("SELECT id FROM ledger WHERE kind = 'grant' LIMIT 1").fetchone()
        connection.execute("UPDATE ledger SET amount = amount + 1 WHERE id = ?", (first,))
    (history,) = [sentences for rule, sentences in found(tmp_path).items() if rule.startswith("an entry leaves")]
    assert len(history) == 1 and history[0].startswith(f"entry {first} of")


def test_of_many_offenders_some_are_named_and_all_are_counted(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(raw(path)) as connection:
        connection.execute("DELETE FROM ledger WHERE kind = 'charge'")
    with opened(tmp_path) as connection:
        findings = {finding.rule: finding for finding in audit(connection)}
    charges = findings["a task has one charge"]
    assert (charges.total, len(charges.offenders)) == (SMALL.all_tasks, SHOWN)


def test_damage_is_found_and_whatever_can_be_read_is_still_checked(tmp_path: Path) -> None:
    path = filled(tmp_path)
    CORRUPTIONS[-1].apply(path)
    damage(path)
    broken = found(tmp_path)
    assert FILE in broken
    assert "revenue" in broken["the totals are what there is"][0]
    assert "malformed" in broken["all people can be read"][0]


def test_a_page_that_is_lost_is_found_by_the_check_of_the_file_alone(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'heartbeat'")
    assert list(found(tmp_path)) == [FILE]


def test_an_audit_inside_a_transaction_leaves_it_open(tmp_path: Path) -> None:
    with closing(sqlite3.connect(filled(tmp_path), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        assert audit(connection) == []
        assert connection.in_transaction


def test_text_that_is_none_is_told(tmp_path: Path) -> None:
    with closing(raw(filled(tmp_path))) as connection:
        connection.execute("UPDATE tasks SET id = CAST(x'ff00' AS TEXT) WHERE rowid = 7")
    assert "UTF-8" in " ".join(" ".join(sentences) for sentences in found(tmp_path).values())


def test_what_says_nothing_against_the_database_is_no_finding(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path) as connection:
        connection.set_progress_handler(lambda: 1, 1)
        with pytest.raises(CannotAudit, match="could not be finished: interrupted"):
            audit(connection)


def test_an_audit_tells_how_far_it_is(tmp_path: Path) -> None:
    filled(tmp_path)
    told: dict[str, tuple[int, int]] = {}
    with opened(tmp_path) as connection:
        read_ahead(tmp_path, lambda what, done, of: told.update({what: (done, of)}))
        audit(connection, lambda what, done, of: told.update({what: (done, of)}))
    assert told["people"] == (40, 40) and told["tasks"] == (520, 520)
    assert all(done == of for done, of in told.values())


def test_an_audit_writes_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    with opened(tmp_path) as connection:
        audit(connection)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM tasks WHERE waiting = 1")
    assert path.read_bytes() == before
    assert PENDING > 0, "or there was nothing that could have been deleted"


def test_a_backup_on_a_read_only_disk_needs_no_index_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setattr(
        "os.access", lambda path, mode: False
    )  # root may write to any folder that is not on such a disk
    assert found(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["darkroom.sqlite3"]


def test_what_cannot_be_audited_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotAudit, match="was it ever served"), opened(tmp_path / "nowhere"):
        pass
    path = tmp_path / "darkroom.sqlite3"
    path.write_bytes(b"")
    with pytest.raises(CannotAudit, match="not a database of Darkroom's"), opened(tmp_path):
        pass
    path.write_bytes(b"a letter to a friend" * 1000)
    with pytest.raises(CannotAudit, match="not a database"), opened(tmp_path):
        pass


@pytest.mark.parametrize("version, way_out", [(999, "upgrade it"), (1, "start the server once")])
def test_another_schema_is_left_alone(tmp_path: Path, version: int, way_out: str) -> None:
    with closing(sqlite3.connect(filled(tmp_path))) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    with pytest.raises(CannotAudit, match=way_out), opened(tmp_path):
        pass
