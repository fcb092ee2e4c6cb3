"""A simulated file: its synced content, its unsynced changes, and its content after a power cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

SECTOR_BYTES = 512  # a drive writes a sector entirely or not at all


@dataclass(frozen=True, slots=True)
class Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, random: Random) -> Iterator[Write]:
        """Yield a random part of the write's sectors."""
        start = self.offset
        while start < self.offset + len(self.data):
            end = min(start - start % SECTOR_BYTES + SECTOR_BYTES, self.offset + len(self.data))
            if random.random() < 0.5:
                yield Write(start, self.data[start - self.offset : end - self.offset])
            start = end


@dataclass(frozen=True, slots=True)
class Truncate:
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]


Changes = list[Write | Truncate]
Survival = Callable[[Changes, Random], Changes]  # selects the unsynced changes that survive a power cut


@dataclass(slots=True)
class SimulatedFile:
    """The synced content of a file, and the changes since. The name of a new file is only durable after a sync."""

    synced: bytearray
    name_synced: bool
    unsynced: Changes = field(default_factory=list)
    replaced: bytes | None = None  # the content of the deleted file that had the same name

    def sync(self, changes: int) -> None:
        """Make the first `changes` changes durable."""
        for change in self.unsynced[:changes]:
            change.apply(self.synced)
        self.discard(changes)

    def discard(self, changes: int) -> None:
        del self.unsynced[:changes]

    def content_after_cut(self, survival: Survival, random: Random) -> bytes | None:
        """Return the content after a power cut, or None if the file does not exist then."""
        if not self.name_synced and random.random() < 0.5:
            return self.replaced
        content = bytearray(self.synced)
        for change in survival(self.unsynced, random):
            change.apply(content)
        return bytes(content)


def random_survival(random: Random) -> Survival:
    """Choose what survives of the unsynced changes: none, all, some of them, or some sectors of some of them."""
    return random.choice([_none, _all, _some, _some_torn])


def _none(changes: Changes, random: Random) -> Changes:
    return []


def _all(changes: Changes, random: Random) -> Changes:
    return changes


def _some(changes: Changes, random: Random) -> Changes:
    chance = random.random()
    return [change for change in changes if random.random() < chance]


def _some_torn(changes: Changes, random: Random) -> Changes:
    survivors: Changes = []
    for change in _some(changes, random):
        survivors += change.torn(random) if isinstance(change, Write) else [change]
    return survivors
