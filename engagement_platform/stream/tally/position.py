"""Where the tally stands: what it counts into, and the offsets that Redis holds for that."""

import logging
from collections.abc import Mapping

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.topics import written_ends
from engagement_platform.adapters.redis.counts import Counts
from engagement_platform.adapters.repeated import Interval
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.tally.build import Target, reached
from engagement_platform.stream.tally.clocks import ClockWatch

log = logging.getLogger("engagement_platform.tally")

SLIDE_SECONDS = 0.5
"""How often the window slides, and as_of advances, when no events come."""


class Position:
    """The place of one tally. `offsets` is what the target in Redis holds, as far as is known."""

    def __init__(self, settings: Settings, control: Control, reader: TopicReader, counts: Counts) -> None:
        self._settings = settings
        self._control = control
        self._reader = reader
        self.clocks = ClockWatch(settings, control, reader, counts)
        self.target = Target(counts, reader)
        self.offsets: Mapping[int, int] = {}
        self._slides = Interval(SLIDE_SECONDS, is_due=True)

    @property
    def topic_id(self) -> str:
        """The identity of the topic that is read."""
        return self._reader.topic_id

    def read_to(self) -> dict[int, int]:
        """Return partition -> offset of the next message to read."""
        return self._reader.positions()

    def waiting(self) -> int:
        """Return how many messages lie behind what was read."""
        return self._reader.waiting()

    def written_ends(self) -> Mapping[int, int]:
        """Return the ends of what is in Kafka now, open transactions included. Raises Unavailable."""
        return written_ends(self._settings.kafka, self._settings.topics.events, self._reader.partitions)

    def has_reached(self, ends: Mapping[int, int]) -> bool:
        """Say whether the live views have counted up to these ends."""
        return not self.target.is_build and reached(self.offsets, ends)

    def is_batch_due(self, *, drains: bool) -> bool:
        """Say whether an empty batch is due: now and then to slide, at once when someone waits for an end."""
        if self._slides.is_due:
            return True
        return (drains or self.target.is_build) and self._reader.positions() != self.offsets

    def reached(self, offsets: Mapping[int, int]) -> None:
        """Take note of the offsets to which the target has counted."""
        self.offsets = offsets
        if not self.target.is_build:
            self._control.progress.offsets = dict(offsets)
        self._slides.restart()

    def follow_new_partitions(self) -> None:
        """Read partitions that were added, from their beginning."""
        new = self._reader.partitions - self.offsets.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self.read_from(self.offsets)

    def read_from(self, offsets: Mapping[int, int]) -> None:
        """Read all partitions; one that was never counted is new and starts at 0."""
        self.offsets = dict.fromkeys(self._reader.partitions, 0) | dict(offsets)
        self._slides.expire()
        self._reader.seek(self.offsets)
        self.clocks.moved()
