"""What is on the platter, what was written since, and what of that is left when the power goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

SECTOR = 512  # bytes; what a drive writes whole or not at all


@dataclass(frozen=True, slots=True)
class Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, random: Random) -> Iterator[Write]:
        """The sectors of it that reached the platter."""
        start = self.offset
        while start < self.offset + len(self.data):
            end = min(start - start % SECTOR + SECTOR, self.offset + len(self.data))
            if random.random() < 0.5:
                yield Write(start, self.data[start - self.offset : end - self.offset])
            start = end


@dataclass(frozen=True, slots=True)
class Truncate:
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]


@dataclass(slots=True)
class File:
    """What is on the platter, and what was written since. A new file's name is there for certain after a sync."""

    durable: bytearray
    named: bool
    unsynced: list[Write | Truncate] = field(default_factory=list)
    former: bytes | None = None  # of the deleted file whose name this one has taken

    def sync(self, changes: int) -> None:
        """The first so many changes reach the platter."""
        for change in self.unsynced[:changes]:
            change.apply(self.durable)
        self.forget(changes)

    def forget(self, changes: int) -> None:
        del self.unsynced[:changes]

    def after_cut(self, survive: Survival, random: Random) -> bytes | None:
        """The content as it would be found, None where there would be no such file."""
        if not self.named and random.random() < 0.5:
            return self.former
        content = bytearray(self.durable)
        for change in survive(self.unsynced, random):
            change.apply(content)
        return bytes(content)


Changes = list[Write | Truncate]


Survival = Callable[[Changes, Random], Changes]


def any_survival(random: Random) -> Survival:
    """Of what was not synced nothing is left, everything, some of the writes, or some sectors of some."""
    return random.choice([_nothing, _everything, _some, _some_torn])


def _nothing(changes: Changes, random: Random) -> Changes:
    return []


def _everything(changes: Changes, random: Random) -> Changes:
    return changes


def _some(changes: Changes, random: Random) -> Changes:
    chance = random.random()
    return [change for change in changes if random.random() < chance]


def _some_torn(changes: Changes, random: Random) -> Changes:
    kept: Changes = []
    for change in _some(changes, random):
        kept += change.torn(random) if isinstance(change, Write) else [change]
    return kept
