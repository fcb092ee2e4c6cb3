"""One request of each call, without wrk. It provides the responses that the bare server repeats."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.bench.calls import MeasuredCall
from tests.bench.members import CODE, Member, login_phone


def fetch_response(base: str, call: MeasuredCall, member: Member) -> Any:
    """The parsed response to one call of this member. Raises urllib.error.HTTPError for a refusal."""
    match call:
        case MeasuredCall.CREATE:
            body = {"type": "basic_clean", "inputImageUrl": member.picture_url}
            request = _request(f"{base}/api/task/create", member, body)
            request.add_header("Idempotency-Key", "single request")
        case MeasuredCall.READ:
            request = _request(f"{base}/api/task/{member.task}", member)
        case MeasuredCall.STATUS:
            request = _request(f"{base}/api/membership/status", member)
        case MeasuredCall.LOGIN:
            request = _request(f"{base}/api/auth/login", member, {"phone": login_phone(0), "code": CODE})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def _request(url: str, member: Member, body: object = None) -> urllib.request.Request:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {member.token}", "Content-Type": "application/json"}
    return urllib.request.Request(url, content, headers)
