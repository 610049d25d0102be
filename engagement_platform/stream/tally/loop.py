"""tally: Kafka to Redis. Every event is counted exactly once, and only while its bucket is in the window.

The offsets stand beside the counts and move with them in one script, so a batch that is sent twice, or by two tallies,
is counted once. What is in memory is never trusted after a failure: the offsets are read from Redis again. Views that
cannot be continued are built anew from Kafka beside the live ones, and take their place when they have caught up.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged, TopicReader
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.topics import written_ends
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, Refused, ViewsState
from engagement_platform.adapters.repeated import Interval
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.errors import StreamStopped, Superseded, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.playback import Playbacks, Resume, may_lack, resume
from engagement_platform.domain.topics import User
from engagement_platform.domain.windows import aggregate
from engagement_platform.settings import Settings
from engagement_platform.stream.backlog import backlog_behind, lag_behind
from engagement_platform.stream.backoff import Spacing
from engagement_platform.stream.control import Control
from engagement_platform.stream.supervisor import FailureStreak, Supervision, supervise
from engagement_platform.stream.tally.build import Target, reached
from engagement_platform.stream.tally.clients import connected
from engagement_platform.stream.tally.clocks import ClockWatch
from engagement_platform.stream.tally.messages import decoded, unseen_at
from engagement_platform.stream.topic_watch import TopicWatch, window_of

log = logging.getLogger("engagement_platform.tally")

POLL_MS = 50
SLIDE_SECONDS = 0.5
"""How often the window slides, and as_of advances, when no events come."""

LOOK_SECONDS = 2.0
"""How often Redis is asked whether it evicts keys."""

_MAX_SECONDS_BETWEEN_BUILDS = 10.0


def run(settings: Settings, control: Control) -> None:
    """Tally until the lease is over or, when draining, until everything that was in Kafka at the start is counted.

    Waits for servers that do not answer, and stands still where going on could miscount: see `stream.supervisor`. Ends
    quietly when another run has taken over.
    """
    stream = stream_of(settings)
    builds = Spacing(_MAX_SECONDS_BETWEEN_BUILDS)

    def attempt(supervision: Supervision) -> None:
        try:
            with connected(settings, stream) as (reader, counts, watch):
                supervision.claim()
                _Tally(settings, control, reader, counts, supervision, stream=stream, watch=watch, builds=builds).run()
        except TopicChanged as error:
            control.progress.offsets = {}  # of the topic that is gone: nothing can be counted from them
            raise _topic_mismatch(str(error)) from error

    supervise(control, attempt, log=log, count_lag=lambda: lag_behind(settings, control.progress), max_pause=1.0)


def backlog(settings: Settings) -> int:
    """Return how many messages wait, as the offsets in Redis tell. Raises EngagementError."""
    with connect_redis(settings.redis) as client:
        state = Counts(client, settings.redis.namespace, window_of(settings.views), stream_of(settings)).state()
    return backlog_behind(settings, lambda topic_id: state.offsets if state.topic_id == topic_id else {})


class _Tally:
    """One tally, connected. `offsets` is what the target in Redis holds, as far as is known."""

    def __init__(
        self,
        settings: Settings,
        control: Control,
        reader: TopicReader,
        counts: Counts,
        supervision: Supervision,
        *,
        stream: EventStream,
        watch: TopicWatch,
        builds: Spacing,
    ) -> None:
        self._settings = settings
        self._control = control
        self._stream = stream
        self._playbacks = Playbacks(stream)
        self._window = window_of(settings.views)
        self._reader = reader
        self._counts = counts
        self._supervision = supervision
        self._failures = FailureStreak(supervision)
        self._watch = watch
        self._builds = builds
        self._clocks = ClockWatch(settings, control, reader, counts)
        self._target = Target(counts, reader)
        self._offsets: dict[int, int] = {}
        self._slides = Interval(SLIDE_SECONDS, is_due=True)
        self._looks = Interval(LOOK_SECONDS, is_due=False)

    def run(self) -> None:
        drain_to = (
            written_ends(self._settings.kafka, self._settings.topics.events, self._reader.partitions)
            if self._control.drain
            else {}
        )
        try:
            self._guarded(lambda: self._resume(self._agreed_state()))
            while not self._control.should_stop():
                try:
                    self._guarded(self._step)
                except Unavailable as error:
                    self._failures.failed(error)
                    continue
                self._failures.worked()
                self._supervision.works()
                if self._control.drain and not self._target.is_build and reached(self._offsets, drain_to):
                    return
        finally:
            with suppress(Exception):  # what made it end is to be told; the build expires
                self._target.discard()

    def _guarded(self, act: Callable[[], None]) -> None:
        """Act; offsets that Kafka does not have (any more) lead to new views."""
        try:
            act()
        except OffsetsExpired as error:
            self._require_lease()
            self._reader.verify()  # else the offsets are missing because the topic is another one
            log.warning("%s The window is built anew.", error.what)
            self._target.discard()
            self._space_builds()
            self._begin_build(self._agreed_state())

    def _agreed_state(self) -> ViewsState:
        """Return the state of the live views once Redis' clock agrees with Kafka's."""
        return self._clocks.agreed_state(self._require_lease)

    def _look_at_redis(self) -> None:
        """Look whether Redis evicts keys, or has: anybody can change its policy at any time.

        Raises StreamStopped while it may.
        """
        self._looks.restart()
        if self._target.may_lack_keys():
            self._require_lease()
            log.warning("Redis has evicted keys, perhaps of the views. They are built anew.")
            self._resume(self._agreed_state())

    def _take_up(self) -> None:
        """Go on from what Redis has after a failure.

        A build goes on from what was built: it may take longer than connections hold.
        """
        if (state := self._target.built_so_far()) is not None:
            self._read_from(state.offsets)
        else:
            self._resume(self._agreed_state())

    def _step(self) -> None:
        if self._failures.has_failed:
            self._take_up()
        if self._looks.is_due:
            self._look_at_redis()
        if self._target.is_outrun():
            self._replaced("raced")
        self._follow_new_partitions()
        records = self._clocks.poll(POLL_MS)
        if records or self._is_due():
            self._apply(records)
        if self._target.is_build and (why := self._target.promote_when_caught_up(self._offsets)) is not None:
            self._replaced(why)

    def _is_due(self) -> bool:
        """Say whether an empty batch is wanted: now and then to slide, at once when someone waits for an end."""
        if self._slides.is_due:
            return True
        return (self._control.drain or self._target.is_build) and self._reader.positions() != self._offsets

    def _apply(self, records: Mapping[int, list[Record]]) -> None:
        positions = self._reader.positions()
        lag = self._reader.waiting()
        events, unreadable = decoded(records, self._playbacks.read)
        batch = Batch(
            generation=self._target.generation,
            topic_id=self._reader.topic_id,
            offsets={p: (self._offsets[p], positions[p]) for p in positions},
            buckets=aggregate(self._stream, events, self._window.bucket_ms),
            display=self._playbacks.display_of(events),
            lag=lag,
            kafka_clock=self._clocks.between(),
        )
        outcome = self._counts.apply(batch, build=self._target.is_build)
        if isinstance(outcome, Refused):
            self._refused(outcome)
            return
        self._offsets = positions
        if not self._target.is_build:
            self._control.progress.offsets = positions
        self._slides.restart()
        self._report(records, outcome, lag, unreadable)

    def _refused(self, outcome: Refused) -> None:
        """Go where the present state leads, unless this run has been superseded."""
        self._require_lease()
        self._count("refused", 1)
        if self._target.is_build:
            log.warning("the build of new views was lost (%s); it begins again", outcome.reason)
        self._resume(self._agreed_state())

    def _resume(self, state: ViewsState) -> None:
        """Leave the target, a build with all its keys, for where the state leads."""
        self._target.discard()
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
                self._target.take_live(state)
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
        state = self._clocks.state_to_build_on(state, self._require_lease)
        start = self._reader.offsets_at(self._window.replay_from(state.now_ms))
        self._target.begin(state.generation, start)
        self._read_from(start)
        log.info("building new views from the offsets %s", start)

    def _replaced(self, why: str) -> None:
        """Give the build up: another tally's views are live, or its own have expired."""
        log.info("the new views were not needed (%s)", why)
        self._target.discard()
        self._require_lease()
        self._resume(self._agreed_state())

    def _follow_new_partitions(self) -> None:
        new = self._reader.partitions - self._offsets.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self._read_from(self._offsets)

    def _read_from(self, offsets: Mapping[int, int]) -> None:
        """Read all partitions; one that was never counted is new and starts at 0."""
        self._offsets = dict.fromkeys(self._reader.partitions, 0) | dict(offsets)
        self._slides.expire()
        self._reader.seek(self._offsets)
        self._clocks.moved()

    def _require_lease(self) -> None:
        """Raise Superseded when another run has taken over. Redis decides, so the platform database may be down."""
        with suppress(Unavailable):
            if not self._control.owns_lease():
                raise Superseded("another run has taken over")

    def _report(self, records: Mapping[int, list[Record]], outcome: Applied, lag: int, unreadable: int) -> None:
        progress = self._control.progress
        progress.events += sum(map(len, records.values()))
        progress.lag = lag
        for name, number in (("late", outcome.late), ("future", outcome.future), ("unreadable", unreadable)):
            self._count(name, number)
        now_us = time.time_ns() // 1_000
        for unseen_us, times in unseen_at(records).items():
            progress.latency.add((now_us - unseen_us) / 1_000, times)

    def _count(self, name: str, number: int) -> None:
        if number:
            detail = self._control.progress.detail
            detail[name] = int(detail.get(name, 0)) + number


def _topic_mismatch(what: str) -> StreamStopped:
    return StreamStopped(
        what,
        "If the topic was recreated on purpose, build the views from it: engagement-platform views rebuild",
    )
