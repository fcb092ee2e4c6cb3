"""A limit of how often each user may do something in any minute, kept in memory."""

from __future__ import annotations

from collections import deque

from actors.durations import MINUTE, seconds_to_wait

MAX_USERS = 50_000  # users whose last uses are remembered; those who have been idle longest are forgotten first


class MinuteLimit:
    """Allows `limit` uses by each user in any minute; 0 allows any number. Times are in epoch milliseconds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._uses: dict[str, deque[int]] = {}

    def take(self, user_id: str, now: int) -> int | None:
        """Count a use and return None, or return the seconds to wait when the limit is reached."""
        if not self.limit:
            return None
        uses = self._uses.pop(user_id, deque())
        self._uses[user_id] = uses  # at the end of the dict, because it was used last
        if len(self._uses) > MAX_USERS:
            del self._uses[next(iter(self._uses))]
        while uses and not now - MINUTE < uses[0] <= now:  # a use after `now` is from before the clock was set back
            uses.popleft()
        if len(uses) >= self.limit:
            return seconds_to_wait(uses[0] + MINUTE - now)
        uses.append(now)
        return None

    def give_back(self, user_id: str) -> None:
        """Take back the last use of a user, which had no effect."""
        if uses := self._uses.get(user_id):
            uses.pop()
