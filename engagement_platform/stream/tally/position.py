"""Where the tally stands: the generation that it counts into, and the offsets that Redis holds for it.

What is in memory is never trusted after a failure: the offsets are read from Redis again. Views that cannot be
continued are built anew from Kafka beside the live ones, and take their place when they have caught up.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged, TopicReader
from engagement_platform.adapters.kafka.topics import written_ends
from engagement_platform.adapters.redis.counts import Counts, Refused, ViewsState
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.errors import Superseded, Unavailable
from engagement_platform.domain.playback import Resume, may_lack, resume
from engagement_platform.domain.progress import REFUSED
from engagement_platform.domain.topics import User
from engagement_platform.settings import Settings
from engagement_platform.stream.backoff import Spacing
from engagement_platform.stream.control import Control
from engagement_platform.stream.tally.build import Target, reached
from engagement_platform.stream.tally.clocks import ClockWatch
from engagement_platform.stream.topic_watch import TopicWatch, window_of

log = logging.getLogger("engagement_platform.tally")

SLIDE_SECONDS = 0.5
"""How often the window slides, and as_of advances, when no events come."""

LOOK_SECONDS = 2.0
"""How often Redis is asked whether it evicts keys."""


class Position:
    """The place of one tally. `offsets` is what the target in Redis holds, as far as is known."""

    def __init__(
        self,
        settings: Settings,
        control: Control,
        reader: TopicReader,
        counts: Counts,
        *,
        watch: TopicWatch,
        builds: Spacing,
    ) -> None:
        self._settings = settings
        self._control = control
        self._reader = reader
        self._counts = counts
        self._watch = watch
        self._builds = builds
        self._window = window_of(settings.views)
        self.clocks = ClockWatch(settings, control, reader, counts)
        self.target = Target(counts, reader)
        self.offsets: Mapping[int, int] = {}
        self._slides = Interval(SLIDE_SECONDS, is_due=True)
        self._looks = Interval(LOOK_SECONDS, is_due=False)

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

    def guarded(self, act: Callable[[], None]) -> None:
        """Act; offsets that Kafka does not have (any more) lead to new views."""
        try:
            act()
        except OffsetsExpired as error:
            self._require_lease()
            self._reader.verify()  # else the offsets are missing because the topic is another one
            log.warning("%s The window is built anew.", error.what)
            self.target.discard()
            self._space_builds()
            self._begin_build(self._agreed_state())

    def resume(self) -> None:
        """Go where the state of the live views leads."""
        self._resume(self._agreed_state())

    def take_up(self) -> None:
        """Go on from what Redis has after a failure.

        A build goes on from what was built: it may take longer than connections hold.
        """
        if (state := self.target.built_so_far()) is not None:
            self._read_from(state.offsets)
        else:
            self.resume()

    def look(self) -> None:
        """Look at what may have changed under the tally: Redis' keys, other tallies, Kafka's partitions.

        Raises StreamStopped while Redis may evict keys: anybody can change its policy at any time.
        """
        if self._looks.is_due:
            self._look_at_redis()
        if self.target.is_outrun():
            self._replaced("raced")
        self._follow_new_partitions()

    def reached(self, offsets: Mapping[int, int]) -> None:
        """Take note of the offsets to which the target has counted."""
        self.offsets = offsets
        if not self.target.is_build:
            self._control.progress.offsets = dict(offsets)
        self._slides.restart()

    def promote_when_caught_up(self) -> None:
        """Put a build that has caught up in the place of the live views."""
        if self.target.is_build and (why := self.target.promote_when_caught_up(self.offsets)) is not None:
            self._replaced(why)

    def refused(self, outcome: Refused) -> None:
        """Go where the present state leads after Redis took no batch, unless this run has been superseded."""
        self._require_lease()
        self._control.progress.count(REFUSED)
        if self.target.is_build:
            log.warning("the build of new views was lost (%s); it begins again", outcome.reason)
        self.resume()

    def _agreed_state(self) -> ViewsState:
        """Return the state of the live views once Redis' clock agrees with Kafka's."""
        return self.clocks.agreed_state(self._require_lease)

    def _look_at_redis(self) -> None:
        self._looks.restart()
        if self.target.may_lack_keys():
            self._require_lease()
            log.warning("Redis has evicted keys, perhaps of the views. They are built anew.")
            self.resume()

    def _resume(self, state: ViewsState) -> None:
        """Leave the target, a build with all its keys, for where the state leads."""
        self.target.discard()
        decision = self._decide(state)
        if decision is Resume.BUILD and self._space_builds():
            state = self._agreed_state()
            decision = self._decide(state)
        match decision:
            case Resume.STOP:
                raise TopicChanged(
                    f"Redis has counted the topic {state.topic_id}, but Kafka has {self._reader.topic_id}."
                )
            case Resume.BUILD:
                self._begin_build(state)
            case Resume.CONTINUE:
                self.target.take_live(state)
                self._read_from(state.offsets)

    def _decide(self, state: ViewsState) -> Resume:
        return resume(
            generation=state.generation,
            same_topic=state.topic_id == self._reader.topic_id,
            same_window=self._counts.fits(state),
            has_offsets=bool(state.offsets),
            ahead_ms=state.as_of_ms - state.now_ms,
            may_lack=may_lack(state.evictions, self._counts.evictions()),
        )

    def _space_builds(self) -> bool:
        """Wait before a build that follows others closely; say whether time has passed."""
        pause = self._builds.pause()
        if pause:
            log.warning("views were built a short time ago; they are built again in %.1f s", pause)
            self._control.wait(pause)
        return pause > 0

    def _begin_build(self, state: ViewsState) -> None:
        """Build the window from Kafka: from the first message that can count at present."""
        self._watch.require(User.BUILD)
        state = self.clocks.state_to_build_on(state, self._require_lease)
        start = self._reader.offsets_at(self._window.replay_from(state.now_ms))
        self.target.begin(state.generation, start)
        self._read_from(start)
        log.info("building new views from the offsets %s", start)

    def _replaced(self, why: str) -> None:
        """Give the build up: another tally's views are live, or its own have expired."""
        log.info("the new views were not needed (%s)", why)
        self.target.discard()
        self._require_lease()
        self.resume()

    def _follow_new_partitions(self) -> None:
        new = self._reader.partitions - self.offsets.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self._read_from(self.offsets)

    def _read_from(self, offsets: Mapping[int, int]) -> None:
        """Read all partitions; one that was never counted is new and starts at 0."""
        self.offsets = dict.fromkeys(self._reader.partitions, 0) | dict(offsets)
        self._slides.expire()
        self._reader.seek(self.offsets)
        self.clocks.moved()

    def _require_lease(self) -> None:
        """Raise Superseded when another run has taken over. Redis decides, so the platform database may be down."""
        with suppress(Unavailable):
            if not self._control.owns_lease():
                raise Superseded("another run has taken over")
