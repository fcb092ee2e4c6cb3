"""The calls that are measured, as Lua scripts for wrk.

The requests come from the members in turn, whatever the number of connections. As much as possible of each request
is built before the run, because wrk shares the machine with the server.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.members import CODE, Member
from tests.bench.wrk import PRINT_FIGURES


class MeasuredCall(enum.Enum):
    """A call of the API. The value is its name in the report."""

    CREATE = "task creation"
    READ = "task read"
    STATUS = "membership status"
    LOGIN = "login"


# Parts of the Lua scripts. Each script defines a function that returns the next request.
_HOST = "Host: 127.0.0.1\\r\\n"
_BEARER = 'Authorization: Bearer " .. token .. "\\r\\n'
_JSON = "Content-Type: application/json\\r\\n"
_BODY = '{"type":"basic_clean","inputImageUrl":"'
_CREATION = f"""{{
    head = "POST /api/task/create HTTP/1.1\\r\\n{_HOST}{_BEARER}{_JSON}Content-Length: " ..
      (#picture + {len(_BODY) + 2}) .. "\\r\\nIdempotency-Key: ",
    tail = '\\r\\n\\r\\n{_BODY}' .. picture .. '"}}',
  }}"""
_MEMBERS = """
local members = {{}}
for line in io.lines({members_file}) do
  local token, picture, task = line:match("^(%S+) (%S+) (%S+)$")
  members[#members + 1] = {prepared}
end
local number = {first}
"""
_CREATE = """
request = function()
  number = number + 1
  local prepared = members[number % #members + 1]
  return prepared.head .. string.format("%016d", number) .. prepared.tail
end
"""
_GET = """
request = function()
  number = number + 1
  return members[number % #members + 1]
end
"""
_LOGIN = """
local number = {first}
request = function()
  number = number + 1
  return {head} .. string.format("%08d", number) .. {tail}
end
"""


def write_members_file(members: Sequence[Member], file: Path) -> None:
    """Write a line with token, picture URL and task for each member."""
    file.write_text("".join(f"{member.token} {member.picture_url} {member.task}\n" for member in members))


def wrk_script(call: MeasuredCall, members_file: Path, first: int) -> str:
    """A script for wrk. Keys and phones are numbered from `first` on, so that two runs never share one."""
    path = json.dumps(str(members_file))
    match call:
        case MeasuredCall.LOGIN:
            return _LOGIN.format(first=first - 1, **_login_parts()) + PRINT_FIGURES
        case MeasuredCall.CREATE:
            return _MEMBERS.format(members_file=path, first=first, prepared=_CREATION) + _CREATE + PRINT_FIGURES
        case MeasuredCall.READ:
            prepared = f'"GET /api/task/" .. task .. " HTTP/1.1\\r\\n{_HOST}{_BEARER}\\r\\n"'
        case MeasuredCall.STATUS:
            prepared = f'"GET /api/membership/status HTTP/1.1\\r\\n{_HOST}{_BEARER}\\r\\n"'
    return _MEMBERS.format(members_file=path, first=first, prepared=prepared) + _GET + PRINT_FIGURES


def _login_parts() -> dict[str, str]:
    """A login request for the phone 139 and eight digits, split where those digits go.

    Both parts are written as JSON strings, which are valid Lua strings too.
    """
    start, rest = '{"phone":"139', f'","code":"{CODE}"}}'
    length = len(start) + 8 + len(rest)
    head = (
        "POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n{start}"
    )
    return {"head": json.dumps(head), "tail": json.dumps(rest)}
