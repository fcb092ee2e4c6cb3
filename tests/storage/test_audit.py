"""Each rule of the audit finds its violation, wherever the chunks begin and end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.audit.findings import MAX_VIOLATIONS, audit
from storage.audit.open import CannotAudit, open_for_audit, read_ahead
from storage.audit.row_counts import RowCounts, count_rows
from storage.audit.rules.table_scans import TABLE_SCANS
from tests.bench.seed_data import PENDING
from tests.support.corruption import (
    CORRUPTIONS,
    SMALL,
    Corruption,
    connect_unchecked,
    create_seeded_database,
    damage_page,
)

FILE = "the file passes SQLite's quick_check"


@pytest.fixture(params=[3, 1_000_000], ids=["small chunks", "one chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    scans = [replace(scan, chunk_rows=request.param) for scan in TABLE_SCANS]
    monkeypatch.setattr("storage.audit.findings.TABLE_SCANS", scans)
    yield


def violations(folder: Path) -> dict[str, list[str]]:
    with open_for_audit(folder) as connection:
        return {finding.rule: finding.violations for finding in audit(connection)}


@pytest.mark.usefixtures("chunks")
def test_a_seeded_database_is_sound(tmp_path: Path) -> None:
    create_seeded_database(tmp_path)
    assert violations(tmp_path) == {}
    with open_for_audit(tmp_path) as connection:
        assert count_rows(connection) == RowCounts(users=40, entries=520 + 52 + 4 * 2 + 40 + 4, tasks=520, orders=48)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name)
def test_a_corrupted_row_is_named(tmp_path: Path, corruption: Corruption) -> None:
    violating_id = corruption.apply(create_seeded_database(tmp_path))
    broken = violations(tmp_path)
    # The id of an entry is a short number, which a sentence about another entry may contain.
    subject = f"entry {violating_id} of" if violating_id.isdigit() and len(violating_id) < 32 else violating_id
    named = [sentence for sentence in broken[corruption.rule] if subject in sentence]
    assert named, broken
    if corruption.only_rule:
        assert broken == {corruption.rule: named}


def test_a_rule_reads_only_its_chunk(tmp_path: Path) -> None:
    """It reads a range of ids or rows that refer to them, but never a whole table or all entries of a kind."""
    create_seeded_database(tmp_path)
    with open_for_audit(tmp_path) as connection:
        for rule in (rule for scan in TABLE_SCANS[1:] for rule in scan.rules):  # the first scan reads whole tables
            plan = connection.execute(f"EXPLAIN QUERY PLAN {rule.sql}", {"low": "", "high": b""}).fetchall()
            reads = [step for *_, step in plan if step.startswith(("SCAN", "SEARCH")) and "subquery" not in step]
            assert reads, rule.name
            assert all("id" in step.partition("(")[2] or "reference" in step for step in reads), plan


def test_each_rule_has_a_corruption() -> None:
    rules = {rule.name for scan in TABLE_SCANS for rule in scan.rules}
    assert rules <= {corruption.rule for corruption in CORRUPTIONS}


def test_an_altered_amount_is_one_violation_without_the_later_entries(tmp_path: Path) -> None:
    path = create_seeded_database(tmp_path)
    with closing(connect_unchecked(path)) as connection:
        (first,) = connection.execute("SELECT id FROM ledger WHERE kind = 'grant' LIMIT 1").fetchone()
        connection.execute("UPDATE ledger SET amount = amount + 1 WHERE id = ?", (first,))
    (history,) = [sentences for rule, sentences in violations(tmp_path).items() if rule.startswith("an entry names")]
    assert len(history) == 1 and history[0].startswith(f"entry {first} of")


def test_only_the_first_violations_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    path = create_seeded_database(tmp_path)
    with closing(connect_unchecked(path)) as connection:
        connection.execute("DELETE FROM ledger WHERE kind = 'charge'")
    with open_for_audit(tmp_path) as connection:
        findings = {finding.rule: finding for finding in audit(connection)}
    charges = findings["a task has exactly one charge"]
    assert (charges.total, len(charges.violations)) == (SMALL.all_tasks, MAX_VIOLATIONS)


def test_a_damaged_page_is_found_and_the_readable_rows_are_still_checked(tmp_path: Path) -> None:
    path = create_seeded_database(tmp_path)
    CORRUPTIONS[-1].apply(path)
    damage_page(path)
    broken = violations(tmp_path)
    assert FILE in broken
    assert "revenue" in broken["the stored totals equal the counted rows"][0]
    assert "malformed" in broken["all users can be read"][0]


def test_a_lost_page_is_found_by_quick_check_only(tmp_path: Path) -> None:
    path = create_seeded_database(tmp_path)
    with closing(connect_unchecked(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'heartbeat'")
    assert list(violations(tmp_path)) == [FILE]


def test_an_audit_inside_a_transaction_leaves_it_open(tmp_path: Path) -> None:
    with closing(sqlite3.connect(create_seeded_database(tmp_path), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        assert audit(connection) == []
        assert connection.in_transaction


def test_text_that_is_not_utf8_is_a_violation(tmp_path: Path) -> None:
    with closing(connect_unchecked(create_seeded_database(tmp_path))) as connection:
        connection.execute("UPDATE tasks SET id = CAST(x'ff00' AS TEXT) WHERE rowid = 7")
    assert "UTF-8" in " ".join(" ".join(sentences) for sentences in violations(tmp_path).values())


def test_an_interrupted_audit_reports_no_violation(tmp_path: Path) -> None:
    create_seeded_database(tmp_path)
    with open_for_audit(tmp_path) as connection:
        connection.set_progress_handler(lambda: 1, 1)
        with pytest.raises(CannotAudit, match="could not be finished: interrupted"):
            audit(connection)


def test_an_audit_reports_its_progress(tmp_path: Path) -> None:
    create_seeded_database(tmp_path)
    reported: dict[str, tuple[int, int]] = {}
    with open_for_audit(tmp_path) as connection:
        read_ahead(tmp_path, lambda what, done, total: reported.update({what: (done, total)}))
        audit(connection, lambda what, done, total: reported.update({what: (done, total)}))
    assert reported["users"] == (40, 40) and reported["tasks"] == (520, 520)
    assert all(done == total for done, total in reported.values())


def test_an_audit_writes_nothing(tmp_path: Path) -> None:
    path = create_seeded_database(tmp_path)
    before = path.read_bytes()
    with open_for_audit(tmp_path) as connection:
        audit(connection)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM tasks WHERE waiting = 1")
    assert path.read_bytes() == before
    assert PENDING > 0, "the DELETE must have rows to delete"


def test_a_database_on_a_read_only_disk_is_audited_without_an_index_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_seeded_database(tmp_path)
    # os.access is patched, because root can write to every folder that is not on a read-only disk.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert violations(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["darkroom.sqlite3"]


def test_a_missing_or_foreign_database_cannot_be_audited(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotAudit, match="there is no database in"),
        open_for_audit(tmp_path / "nowhere"),
    ):
        pass
    path = tmp_path / "darkroom.sqlite3"
    path.write_bytes(b"")
    with pytest.raises(CannotAudit, match="not a Darkroom database"), open_for_audit(tmp_path):
        pass
    path.write_bytes(b"plain text" * 1000)
    with pytest.raises(CannotAudit, match="not a database"), open_for_audit(tmp_path):
        pass


@pytest.mark.parametrize("version, advice", [(999, "upgrade Darkroom"), (1, "start the server once")])
def test_a_database_of_another_schema_version_cannot_be_audited(tmp_path: Path, version: int, advice: str) -> None:
    with closing(sqlite3.connect(create_seeded_database(tmp_path))) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    with pytest.raises(CannotAudit, match=advice), open_for_audit(tmp_path):
        pass
