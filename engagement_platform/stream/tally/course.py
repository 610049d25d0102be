"""Where the tally goes on: with the live views, or with a build that takes their place when it has caught up.

What is in memory is never trusted after a failure: the offsets are read from Redis again. Views that cannot be
continued are built anew from Kafka beside the live ones.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged, TopicReader
from engagement_platform.adapters.redis.counts import Counts, Refused, ViewsState
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.playback import Resume, may_lack, resume
from engagement_platform.domain.progress import REFUSED
from engagement_platform.domain.shards import WHOLE
from engagement_platform.domain.topics import User
from engagement_platform.settings import Settings
from engagement_platform.stream.backoff import Spacing
from engagement_platform.stream.control import Control, require_lease
from engagement_platform.stream.tally.position import Position
from engagement_platform.stream.topic_watch import TopicWatch, window_of

log = logging.getLogger("engagement_platform.tally")

LOOK_SECONDS = 2.0
"""How often Redis is asked whether it evicts keys."""
_WAIT_SECONDS = 0.2
"""How often one of several shards looks whether the views that another one builds are there."""


@dataclass(eq=False)
class Course:
    """Leads the position of one tally to where the state in Redis says that it goes on."""

    settings: Settings
    control: Control
    reader: TopicReader
    counts: Counts
    position: Position
    watch: TopicWatch
    builds: Spacing

    def __post_init__(self) -> None:
        self._window = window_of(self.settings.views)
        self._looks = Interval(LOOK_SECONDS, is_due=False)
        self._name = uuid4().hex
        """By which other shards know who builds."""

    def guarded(self, act: Callable[[], None]) -> None:
        """Act; offsets that Kafka does not have (any more) lead to new views."""
        try:
            act()
        except OffsetsExpired as error:
            require_lease(self.control)
            self.reader.verify()  # else the offsets are missing because the topic is another one
            log.warning("%s The window is built anew.", error.what)
            self._leave_target()
            self._space_builds()
            if self._is_builder():
                self._begin_build(self.position.clocks.agreed_state())
            else:
                self.resume()

    def resume(self) -> None:
        """Go where the state of the live views leads."""
        self._resume(self.position.clocks.agreed_state())

    def take_up(self) -> None:
        """Go on from what Redis has after a failure.

        A build goes on from what was built: it may take longer than connections hold.
        """
        if (state := self.position.target.built_so_far()) is not None:
            self.position.read_from(state.offsets, state.wal_positions)
        else:
            self.resume()

    def look(self) -> None:
        """Look at what may have changed under the tally: Redis' keys, other tallies, Kafka's partitions.

        Raises StreamStopped while Redis may evict keys: anybody can change its policy at any time.
        """
        if self._looks.is_due:
            self._look_at_redis()
            if self.position.target.is_build:
                self._is_builder()
        if self.position.target.is_outrun():
            self._replaced("raced")
        self.position.follow_new_partitions()

    def promote_when_caught_up(self) -> None:
        """Put a build that has caught up in the place of the live views."""
        if not self.position.target.is_build:
            return
        if (why := self.position.target.promote_when_caught_up(self.position.offsets)) is not None:
            self._replaced(why)
        elif not self.position.target.is_build and not self.control.shard.is_whole:
            self.resume()  # with the partitions of the shard alone

    def refused(self, outcome: Refused) -> None:
        """Go where the present state leads after Redis took no batch, unless this run has been superseded."""
        require_lease(self.control)
        self.control.progress.count(REFUSED)
        if self.position.target.is_build:
            log.warning("the build of new views was lost (%s); it begins again", outcome.reason)
        self.resume()

    def _look_at_redis(self) -> None:
        self._looks.restart()
        if self.position.target.may_lack_keys():
            require_lease(self.control)
            log.warning("Redis has evicted keys, perhaps of the views. They are built anew.")
            self.resume()

    def _resume(self, state: ViewsState) -> None:
        """Leave the target, a build with all its keys, for where the state leads."""
        self._leave_target()
        decision = self._decide(state)
        if decision is Resume.BUILD and self._space_builds():
            state = self.position.clocks.agreed_state()
            decision = self._decide(state)
        while decision is Resume.BUILD and not self._is_builder():
            if self._wait_for_builder():
                return
            state = self.position.clocks.agreed_state()
            decision = self._decide(state)
        match decision:
            case Resume.STOP:
                raise TopicChanged(
                    f"Redis has counted the topic {state.topic_id}, but Kafka has {self.reader.topic_id}."
                )
            case Resume.BUILD:
                self._begin_build(state)
            case Resume.CONTINUE:
                self.position.target.take_live(state)
                self.position.read_from(state.offsets, state.wal_positions)

    def _decide(self, state: ViewsState) -> Resume:
        return resume(
            generation=state.generation,
            same_topic=state.topic_id == self.reader.topic_id,
            same_window=self.counts.fits(state),
            has_offsets=bool(state.offsets),
            ahead_ms=state.clock_ms - state.now_ms,
            may_lack=may_lack(state.evictions, self.counts.evictions()),
        )

    def _leave_target(self) -> None:
        """Leave a build; the reader has the partitions of the shard again, which a build reads all of."""
        was_build = self.position.target.is_build
        self.position.target.discard()
        self._end_of_build(was_build=was_build)

    def _end_of_build(self, *, was_build: bool) -> None:
        shard = self.control.shard
        if not shard.is_whole and (was_build or self.reader.shard != shard):
            self.reader.shard = shard
            self.counts.has_built(self._name)

    def _is_builder(self) -> bool:
        """Say whether this tally is to build: one of several shards builds for all."""
        return self.control.shard.is_whole or self.counts.may_build(self._name)

    def _wait_for_builder(self) -> bool:
        """Wait a moment while another shard builds; say whether it is time to stop."""
        require_lease(self.control)
        reason = "another shard builds them from all partitions, this one goes on with them"
        self.control.progress.enter(LoopState(Activity.GIVES_WAY, time.time(), "the build of new views", reason))
        return self.control.wait(_WAIT_SECONDS)

    def _space_builds(self) -> bool:
        """Wait before a build that follows others closely; say whether time has passed."""
        pause = self.builds.pause()
        if pause:
            log.warning("views were built a short time ago; they are built again in %.1f s", pause)
            self.control.wait(pause)
        return pause > 0

    def _begin_build(self, state: ViewsState) -> None:
        """Build the window from Kafka: from the first message that can count at present."""
        self.watch.require(User.BUILD)
        self.reader.shard = WHOLE
        state = self.position.clocks.state_to_build_on(state)
        start = self.reader.offsets_at(self._window.replay_from(state.now_ms))
        self.position.target.begin(state.generation, start)
        self.position.read_from(start, {})
        log.info("building new views from the offsets %s", start)

    def _replaced(self, why: str) -> None:
        """Give the build up: another tally's views are live, or its own have expired."""
        log.info("the new views were not needed (%s)", why)
        self._leave_target()
        require_lease(self.control)
        self.resume()
