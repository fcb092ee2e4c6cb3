"""Fair turns: how waiting tasks of a type are ordered, so that one user with many tasks does not delay the others.

This is start-time fair queueing (docs/decisions/0019). A task gets a turn when it is created: the turn that is being
served now, or the one after the user's last turn if that is later. The lowest turn is served first. So a user's first
task waits for at most one task of each other user, however many they have queued.

The turns are kept in the rows of the tasks. What is kept here may be lost or incomplete without harm: only the order
of tasks depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_USERS = 50_000  # users whose last turn is remembered


class FairTurns:
    """The turns of one type."""

    def __init__(self) -> None:
        self._current = 0  # the turn that is being served
        self._last: dict[str, int] = {}  # the last turn of each user

    def restore(self, current: int, last: Mapping[str, int]) -> None:
        """Continue from the turns in the rows."""
        self._current, self._last = current, dict(last)

    def take(self, user_id: str) -> int:
        """Return the turn of a user's new task."""
        turn = max(self._current, self._last.pop(user_id, -1) + 1)
        self._last[user_id] = turn  # at the end of the dict, because it was used last
        if len(self._last) > MAX_USERS:
            del self._last[next(iter(self._last))]
        return turn

    def give_back(self, user_id: str) -> None:
        """Note that the user has one task less than turns were taken."""
        if user_id in self._last:
            self._last[user_id] -= 1

    def serve(self, turn: int) -> None:
        """Note that a task with this turn is being carried out. A task that is tried again may have an earlier one."""
        self._current = max(self._current, turn)
