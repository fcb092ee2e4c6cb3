"""The calls that are measured, as scripts for wrk.

Each request is the next person's, round robin, so that 1,000 people take turns whatever the number of connections.
What can be put together beforehand is: wrk shares the machine with the server.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.members import CODE, Member
from tests.bench.wrk import DONE


class Call(enum.Enum):
    """A call of api.md, by the name it has in the report."""

    CREATE = "task creation"
    READ = "task read"
    STATUS = "membership status"
    LOGIN = "login"


# Pieces of Lua: what they put together is a request.
_HOST = "Host: 127.0.0.1\\r\\n"
_BEARER = 'Authorization: Bearer " .. token .. "\\r\\n'
_JSON = "Content-Type: application/json\\r\\n"
_BODY = '{"type":"basic_clean","inputImageUrl":"'
_CREATION = f"""{{
    head = "POST /api/task/create HTTP/1.1\\r\\n{_HOST}{_BEARER}{_JSON}Content-Length: " ..
      (#picture + {len(_BODY) + 2}) .. "\\r\\nIdempotency-Key: ",
    tail = '\\r\\n\\r\\n{_BODY}' .. picture .. '"}}',
  }}"""
_TURNS = """
local people = {{}}
for line in io.lines({people}) do
  local token, picture, task = line:match("^(%S+) (%S+) (%S+)$")
  people[#people + 1] = {each}
end
local turn = {first}
"""
_CREATE = """
request = function()
  turn = turn + 1
  local person = people[turn % #people + 1]
  return person.head .. string.format("%016d", turn) .. person.tail
end
"""
_GET = """
request = function()
  turn = turn + 1
  return people[turn % #people + 1]
end
"""
_LOGIN = """
local turn = {first}
request = function()
  turn = turn + 1
  return {head} .. string.format("%08d", turn) .. {tail}
end
"""


def write_people(people: Sequence[Member], file: Path) -> None:
    file.write_text("".join(f"{member.token} {member.picture_url} {member.task}\n" for member in people))


def script(call: Call, people: Path, first: int) -> str:
    """A script for wrk. Keys and phones are numbered from `first` on, so that two runs never share one."""
    match call:
        case Call.LOGIN:
            return _LOGIN.format(first=first - 1, **_login_parts()) + DONE
        case Call.CREATE:
            return _TURNS.format(people=json.dumps(str(people)), first=first, each=_CREATION) + _CREATE + DONE
        case Call.READ:
            each = f'"GET /api/task/" .. task .. " HTTP/1.1\\r\\n{_HOST}{_BEARER}\\r\\n"'
        case Call.STATUS:
            each = f'"GET /api/membership/status HTTP/1.1\\r\\n{_HOST}{_BEARER}\\r\\n"'
    return _TURNS.format(people=json.dumps(str(people)), first=first, each=each) + _GET + DONE


def _login_parts() -> dict[str, str]:
    """A request for the phone 139 and eight digits, cut where those digits go. JSON's strings are Lua's, too."""
    start, rest = '{"phone":"139', f'","code":"{CODE}"}}'
    length = len(start) + 8 + len(rest)
    head = (
        "POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n{start}"
    )
    return {"head": json.dumps(head), "tail": json.dumps(rest)}
