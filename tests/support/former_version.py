"""The data folder of a former version, and the recorded requests and responses of that version.

FIXTURE/README.md says how they were made. tests/journeys/test_compatibility.py compares this version with them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Api, ApiResponse

FIXTURE = Path(__file__).parent.parent / "journeys" / "former_version"
DATABASE = "darkroom.sqlite3"
RECORDING_MILLISECONDS = 600_000  # a time in these ten minutes comes from the recorded requests themselves

_RANDOM_FIELDS = {"token", "refreshToken", "requestId", "expiration"}
_SIGNED_QUERY = re.compile(r"expires=[0-9]+&signature=[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{25,}")
_ENTRY_ID = re.compile(r"[0-9]{16}")  # of the ledger: epoch microseconds
_CHINESE = re.compile(r"[\u4e00-\u9fff]")

_STORED_NAMES = (
    "SELECT DISTINCT refusal FROM idempotency",
    "SELECT DISTINCT refusal FROM order_keys",
    "SELECT DISTINCT type, status, holder, params, error FROM tasks",
    "SELECT DISTINCT channel, plan, status FROM orders",
    "SELECT DISTINCT kind FROM ledger",
    "SELECT DISTINCT scope FROM sends",
    "SELECT DISTINCT name FROM totals",
)


def read_fixture(name: str) -> Any:
    return json.loads((FIXTURE / name).read_text("utf-8"))


def restore(data: Path) -> None:
    """Create the former version's data folder at `data`."""
    shutil.copytree(FIXTURE / "files", data)
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.executescript((FIXTURE / "database.sql").read_text("utf-8"))


def stored_names(data: Path) -> dict[str, list[list[str | None]]]:
    """Return the names that a stopped server's database contains, by query."""
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        return {query: sorted(map(list, connection.execute(query)), key=str) for query in _STORED_NAMES}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its masked response.

    `{base}` in `path` and `body` stands for the server's address. A `body` that is a string is sent unchanged, any
    other body as JSON. `caller` is the name of a recorded access token.
    """

    method: str
    path: str
    body: Any = None
    caller: str | None = None
    headers: Mapping[str, str] | None = None
    response: Any = None

    async def send(self, api: Api, tokens: Mapping[str, str]) -> ApiResponse:
        headers = dict(self.headers or {})
        if self.caller is not None:
            headers["Authorization"] = f"Bearer {tokens[self.caller]}"
        path, body = (_replace(part, "{base}", api.base) for part in (self.path, self.body))
        raw = body if body is None or isinstance(body, str) else json.dumps(body)
        return await api.call(self.method, path, headers=headers, raw=raw)


@dataclass(frozen=True, slots=True)
class Mask:
    """Replaces the parts of a response that differ between two runs.

    These are the server's address, signatures, tokens, texts for users, ids that the dump does not contain, and times
    after `now`, the start of the recording (epoch milliseconds).
    """

    base: str
    dump: str
    now: int

    def apply(self, response: ApiResponse) -> Any:
        if response.content is None:
            kind = response.headers["Content-Type"].partition(";")[0]
            text = kind.startswith("text/")
            content: Any = {"type": kind} | ({} if text else {"sha256": hashlib.sha256(response.raw).hexdigest()})
        else:
            content = self._mask(response.content)
        return {"status": response.status, "content": content}

    def _mask(self, content: Any, field: str = "") -> Any:
        if isinstance(content, dict):
            return {name: self._mask(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [self._mask(each, field) for each in content]
        return self._mask_text(content, field) if isinstance(content, str) else content

    def _mask_text(self, text: str, field: str) -> str:
        if field in _RANDOM_FIELDS:
            return f"({field})"
        if field in ("message", "errorMessage") and _CHINESE.search(text):
            return "(text)"
        if field.endswith("At") and self._is_recent(datetime.fromisoformat(text).timestamp() * 1000):
            return "(now)"
        if _ENTRY_ID.fullmatch(text) and self._is_recent(int(text) / 1000):
            return "(new id)"
        text = _SIGNED_QUERY.sub("(signed)", text.replace(self.base, "{base}"))
        return _ID.sub(lambda match: match[0] if match[0] in self.dump else "(new id)", text)

    def _is_recent(self, milliseconds: float) -> bool:
        return self.now <= round(milliseconds) < self.now + RECORDING_MILLISECONDS


def without_new_fields(current: Any, former: Any) -> Any:
    """Return the current content without the fields that the former version did not have.

    A response of the former version without data may have data now.
    """
    if isinstance(current, dict) and former is None:
        return None
    if isinstance(current, dict) and isinstance(former, dict):
        return {name: without_new_fields(value, former[name]) for name, value in current.items() if name in former}
    if isinstance(current, list) and isinstance(former, list) and len(current) == len(former):
        return [without_new_fields(*pair) for pair in zip(current, former, strict=True)]
    return current


def exported_metrics(text: str) -> dict[str, dict[str, list[str]]]:
    """Return the names of Darkroom's samples with the values of their labels."""
    exported: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("darkroom_"):
                labels = exported.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return {name: {label: sorted(values) for label, values in labels.items()} for name, labels in exported.items()}


def setting_rows(output: str) -> set[tuple[str, ...]]:
    """Return key and value of each line that `darkroom config` prints, without the last column (the source)."""
    return {tuple(re.split(r" {2,}", line.strip())[:-1]) for line in output.splitlines()}


def as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Write settings as environment variables without prefix: `{"auth": {"failures": 3}}` as AUTH__FAILURES=3."""
    return dict(_variables(settings, ""))


def _variables(settings: Mapping[str, Any], above: str) -> Iterable[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict) and name != "template_param":
            yield from _variables(value, f"{above}{name.upper()}__")
        else:
            yield above + name.upper(), value if isinstance(value, str) else json.dumps(value)


def _replace(content: Any, old: str, new: str) -> Any:
    if isinstance(content, dict):
        return {name: _replace(value, old, new) for name, value in content.items()}
    return content.replace(old, new) if isinstance(content, str) else content
