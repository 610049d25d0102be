"""Gathers the messages of one batch, each checked as it comes."""

import time
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.batches import Line, Lines, Rejected
from engagement_platform.domain.duplicates import WalPositions
from engagement_platform.domain.messages import HEADER_UNSEEN_AT

WRITER = "stage"
"""How the loads of the stage and its dead letters name it."""


@dataclass(slots=True)
class Batch:
    """The messages since the last load was entered."""

    begins: Mapping[int, int]
    ends: Mapping[int, int]
    """partition -> offset behind the last of the messages."""
    wal_begins: WalPositions
    """Partition -> WAL position of the last message before the batch, of a publisher that may publish twice."""
    wal_ends: WalPositions
    """Partition -> that of the last message so far."""
    since: float | None = None
    """When the first of them came, or the first that was left out, by the monotonic clock."""
    size: int = 0
    """Bytes of all messages."""
    messages: int = 0
    duplicates: int = 0
    """Messages that were left out: their publisher had published them before."""
    checked: list[Line | Rejected] = field(default_factory=list)
    unseen: Counter[bytes] = field(default_factory=Counter)
    sizes: dict[Hashable, int] = field(default_factory=dict)
    """partition -> number of messages."""
    rejected: dict[Hashable, list[int]] = field(default_factory=dict)
    """partition -> which of its messages are no events."""
    buried: int = 0
    """How many of those are in the dead letters."""
    latest: dict[int, int] = field(default_factory=dict)
    """partition -> header `unseen-at` of its last message."""

    @classmethod
    def at(cls, offsets: Mapping[int, int], wal: WalPositions | None = None) -> "Batch":
        """Return an empty batch that begins at these offsets, behind messages with these WAL positions."""
        return cls(offsets, offsets, wal or {}, wal or {})

    def add(self, records: Mapping[int, list[Record]], reader: TopicReader, lines: Lines) -> None:
        """Add what the reader has polled, up to the offsets behind it."""
        self.ends, self.wal_ends = reader.positions(), reader.wal_positions
        duplicates = reader.duplicates()
        self.duplicates += duplicates
        if (records or duplicates) and self.since is None:
            self.since = time.monotonic()
        for partition, messages in records.items():
            before = self.sizes.get(partition, 0)
            self.sizes[partition] = before + len(messages)
            for at, message in enumerate(messages, before):
                line = lines.of(message.value)
                if isinstance(line, Rejected):
                    self.rejected.setdefault(partition, []).append(at)
                self.checked.append(line)
                self.size += len(message.value or b"")
                self.messages += 1
            unseen = [value for m in messages for key, value in m.headers if key == HEADER_UNSEEN_AT]
            self.unseen.update(unseen)
            if unseen and unseen[-1] and unseen[-1].isdigit():
                self.latest[partition] = int(unseen[-1])

    def split(self) -> tuple[list[Line], list[Rejected]]:
        """Return the lines, and what was rejected."""
        lines = [one for one in self.checked if isinstance(one, Line)]
        return lines, [one for one in self.checked if isinstance(one, Rejected)]
