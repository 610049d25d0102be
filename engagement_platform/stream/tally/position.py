"""Where the tally stands: what it counts into, be it views that are being built, and the offsets that Redis holds."""

import logging
from collections.abc import Mapping
from uuid import uuid4

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.topics import written_ends
from engagement_platform.adapters.redis.counts import Counts, ViewsState
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.duplicates import WalPositions
from engagement_platform.domain.playback import Evictions, may_lack
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.tally.clocks import ClockWatch

log = logging.getLogger("engagement_platform.tally")

FRESH_SECONDS = 1.0
"""A build has caught up when it reached ends that were read this short a time ago."""


class Target:
    """The generation that is counted into. A build stands beside the live views until it has caught up.

    Methods raise Unavailable, and StreamStopped where Redis refuses.
    """

    def __init__(self, counts: Counts, reader: TopicReader) -> None:
        self._counts = counts
        self._reader = reader
        self.generation = ""
        self.is_build = False
        self._base: str | None = None
        """The live generation when the build began: only in its place may it be put."""
        self._evictions: Evictions | None = None
        """What the server had evicted when the build of the generation began."""
        self._goal: Mapping[int, int] = {}
        self._goal_age = Interval(FRESH_SECONDS, is_due=True)

    def take_live(self, state: ViewsState) -> None:
        """Count into the live views from now on."""
        self.generation, self.is_build, self._evictions = state.generation or "", False, state.evictions

    def begin(self, base: str | None, start: Mapping[int, int]) -> None:
        """Begin to build a generation from the offsets `start`, in place of the live generation `base`."""
        self.generation, self.is_build, self._base = uuid4().hex, True, base
        self._evictions = self._counts.evictions()
        self._counts.begin(self.generation, self._reader.topic_id, start, self._evictions)
        self._read_goal()

    def discard(self) -> None:
        """Remove a build with all its keys; the live views stay."""
        if self.is_build:
            self._counts.discard(self.generation)
            self.generation, self.is_build = "", False

    def built_so_far(self) -> ViewsState | None:
        """Return the state of the build; None when there is none, or Redis has it no more."""
        if not self.is_build:
            return None
        state = self._counts.state(self.generation)
        return state if state.generation == self.generation else None

    def is_outrun(self) -> bool:
        """Say whether another tally has replaced the live views since the build began."""
        return self.is_build and self._counts.state().generation != self._base

    def may_lack_keys(self) -> bool:
        """Say whether Redis has evicted keys since the generation was begun. Raises StreamStopped while it may."""
        return may_lack(self._evictions, self._counts.evictions())

    def promote_when_caught_up(self, offsets: Mapping[int, int]) -> str | None:
        """Put a build that has caught up in the place of the live views; return why it was not wanted, if so."""
        if not reached(offsets, self._goal):
            return None
        if self._goal_age.is_due:
            self._read_goal()
            return None
        result = self._counts.promote(self.generation, self._base)
        if result != "promoted":
            return result
        self.is_build = False
        log.info("new views are live")
        return None

    def _read_goal(self) -> None:
        self._goal, self._goal_age = self._reader.end_offsets(), Interval(FRESH_SECONDS, is_due=False)


def reached(offsets: Mapping[int, int], goal: Mapping[int, int]) -> bool:
    """Say whether the offsets are at or behind the goal in each of its partitions."""
    return all(offsets.get(partition, 0) >= end for partition, end in goal.items())


SLIDE_SECONDS = 0.5
"""How often the window slides, and as_of advances, when no events come."""


class Position:
    """The place of one tally. `offsets` is what the target in Redis holds, as far as is known."""

    def __init__(self, settings: Settings, control: Control, reader: TopicReader, counts: Counts) -> None:
        self._settings = settings
        self._control = control
        self.reader = reader
        self.clocks = ClockWatch(settings, control, reader, counts)
        self.target = Target(counts, reader)
        self.offsets: Mapping[int, int] = {}
        self._wal: WalPositions = {}
        """The `wal_positions` of the reader at these offsets."""
        self._slides = Interval(SLIDE_SECONDS, is_due=True)

    def written_ends(self) -> Mapping[int, int]:
        """Return the ends of what is in Kafka now, open transactions included. Raises Unavailable."""
        return written_ends(self._settings.kafka, self._settings.topics.events, self.reader.partitions)

    def has_reached(self, ends: Mapping[int, int]) -> bool:
        """Say whether the live views have counted up to these ends."""
        return not self.target.is_build and reached(self.offsets, ends)

    def is_batch_due(self, *, drains: bool) -> bool:
        """Say whether an empty batch is due: now and then to slide, at once when someone waits for an end."""
        if self._slides.is_due:
            return True
        return (drains or self.target.is_build) and self.reader.positions() != self.offsets

    def reached(self, offsets: Mapping[int, int]) -> None:
        """Take note of the offsets to which the target has counted."""
        self.offsets, self._wal = offsets, self.reader.wal_positions
        if not self.target.is_build:
            self._control.progress.offsets = dict(offsets)
        self._slides.restart()

    def follow_new_partitions(self) -> None:
        """Read partitions that were added, from their beginning."""
        new = self.reader.partitions - self.offsets.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self.read_from(self.offsets, self._wal)

    def read_from(self, offsets: Mapping[int, int], wal: WalPositions) -> None:
        """Read all partitions of the reader; one that was never counted is new and starts at 0.

        `wal` says where the latest messages before these offsets stand in their publisher's log.
        """
        self.offsets = dict.fromkeys(self.reader.partitions, 0) | self.reader.shard.part_of(offsets)
        self._slides.expire()
        self._wal = self.reader.shard.part_of(wal)
        self.reader.seek(self.offsets, self._wal)
        self.clocks.moved()
