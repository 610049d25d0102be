"""tally: Kafka to Redis. Every event is counted exactly once, and only while its bucket is in the window.

The offsets stand beside the counts and move with them in one script, so a batch that is sent twice, or by two tallies,
is counted once. Where it goes on is a matter of `tally.course`.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass

from engagement_platform.adapters import batch_log
from engagement_platform.adapters.kafka.consumer import TopicChanged
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, Refused
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.loop_state import LoopState
from engagement_platform.domain.overload import GIVES_WAY_FROM, Saturation
from engagement_platform.domain.playback import Playbacks
from engagement_platform.domain.progress import AS_OF, BATCHES, BEHIND, BYTES, EVENTS, FUTURE, LATE, UNREADABLE
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.domain.windows import aggregate
from engagement_platform.settings import Settings
from engagement_platform.stream.as_of import AsOf
from engagement_platform.stream.backoff import Spacing
from engagement_platform.stream.control import Control
from engagement_platform.stream.duplicates import note_duplicates
from engagement_platform.stream.lag import backlog_behind, lag_behind
from engagement_platform.stream.rejection_limit import RejectionLimit, rejection_limit
from engagement_platform.stream.supervisor import FailureStreak, Supervision, supervise
from engagement_platform.stream.tally.clients import connected
from engagement_platform.stream.tally.course import Course
from engagement_platform.stream.tally.messages import decoded, offsets_of, unseen_at
from engagement_platform.stream.tally.position import Position
from engagement_platform.stream.topic_watch import window_of

log = logging.getLogger("engagement_platform.tally")

POLL_MS = 50
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
            with connected(settings, stream, control.shard) as (reader, counts, watch):
                supervision.claim()
                position = Position(settings, control, reader, counts)
                course = Course(settings, control, reader, counts, position=position, watch=watch, builds=builds)
                _Tally(settings, control, counts, stream, position=position, course=course).run(supervision, limit)
        except TopicChanged as error:
            control.progress.offsets = {}  # of the topic that is gone: nothing can be counted from them
            raise StreamStopped(
                str(error),
                "If the topic was recreated on purpose, build the views from it: engagement-platform views rebuild",
            ) from error

    with rejection_limit(settings, "tally") as limit:
        supervise(control, attempt, log=log, count_lag=lambda: lag_behind(settings, control), max_pause=1.0)


def backlog(settings: Settings, shard: Shard = WHOLE) -> int:
    """Return how many messages wait in a shard, as the offsets in Redis tell. Raises EngagementError."""
    with connect_redis(settings.redis) as client:
        state = Counts(client, settings.redis.namespace, window_of(settings.views), stream_of(settings)).state()
    return backlog_behind(settings, lambda topic_id: state.offsets if state.topic_id == topic_id else {}, shard)


@dataclass(eq=False)
class _Tally:
    """One tally, connected: it reads messages, adds them up, and lets Redis count them."""

    settings: Settings
    control: Control
    counts: Counts
    stream: EventStream
    _: KW_ONLY
    position: Position
    course: Course

    def __post_init__(self) -> None:
        self._playbacks = Playbacks(self.stream)
        self._bucket_ms = window_of(self.settings.views).bucket_ms
        self._behind, self._saturation = 0.0, Saturation()
        self._as_of = AsOf()

    def run(self, supervision: Supervision, limit: RejectionLimit) -> None:
        position, course, failures = self.position, self.course, FailureStreak(supervision)
        drain_to = position.written_ends() if self.control.drain else {}
        try:
            course.guarded(course.resume)
            while not self.control.should_stop():
                try:
                    course.guarded(lambda: self._step(limit, has_failed=failures.has_failed))
                except Unavailable as error:
                    failures.failed(error)
                    continue
                failures.worked()
                supervision.works(
                    but=limit.state(self.control.progress.lag)
                    or self._overload()
                    or supervision.idles(len(position.offsets))
                )
                if self.control.drain and position.has_reached(drain_to):
                    return
        finally:
            with suppress(Exception):  # what made it end is to be told; the build expires
                position.target.discard()

    def _step(self, limit: RejectionLimit, *, has_failed: bool) -> None:
        position = self.position
        if has_failed:
            self.course.take_up()
        self.course.look()
        records = position.clocks.poll(POLL_MS)
        if records or (position.offsets and position.is_batch_due(drains=self.control.drain)):
            self._apply(records, limit)
        self.course.promote_when_caught_up()

    def _apply(self, records: Mapping[int, list[Record]], limit: RejectionLimit) -> None:
        """Let Redis count a batch. Raises StreamStopped when too many of its messages are no events."""
        position, polled_at = self.position, time.time()
        ends, lag = position.reader.positions(), position.reader.waiting()
        events, judged, first = decoded(records, self._playbacks.read)
        limit.require(judged, first)
        batch = Batch(
            generation=position.target.generation,
            topic_id=position.reader.topic_id,
            offsets={p: (position.offsets[p], ends[p]) for p in ends},
            wal_positions=position.reader.wal_positions,
            buckets=aggregate(self.stream, events, self._bucket_ms),
            display=self._playbacks.display_of(events),
            lag=lag,
            lags={} if self.control.shard.is_whole else position.reader.lags(),
            kafka_clock=position.clocks.between(),
        )
        outcome = self.counts.apply(batch, build=position.target.is_build)
        if isinstance(outcome, Refused):
            self.course.refused(outcome)
            return
        limit.done()
        position.reached(ends)
        self._report(records, outcome, lag, judged.rejections)
        self._note_as_of(records, polled_at)

    def _report(self, records: Mapping[int, list[Record]], outcome: Applied, lag: int, unreadable: int) -> None:
        progress = self.control.progress
        if records:
            progress.count(EVENTS, sum(map(len, records.values())))
            progress.count(BYTES, sum(len(m.value or b"") for messages in records.values() for m in messages))
            progress.count(BATCHES)
        progress.lag = lag
        note_duplicates(progress, self.position.reader.duplicates(), log)
        for counter, number in ((LATE, outcome.late), (FUTURE, outcome.future), (UNREADABLE, unreadable)):
            progress.count(counter, number)
        now_us, unseen = time.time_ns() // 1_000, unseen_at(records)
        if records and batch_log.is_on():
            batch_log.handled("counted", unseen, offsets_of(records), sum(map(len, records.values())))
        for unseen_us, times in unseen.items():
            progress.latency.add((now_us - unseen_us) / 1_000_000, times)
        if unseen or not lag:
            self._note_behind((now_us - max(unseen)) / 1_000_000 if unseen else 0.0)

    def _note_as_of(self, records: Mapping[int, list[Record]], polled_at: float) -> None:
        """Note as of when Redis has everything. A build that is no view yet has nothing to tell readers.

        Kafka answers the tally at once when anything comes: what a poll has not heard of was not there.
        """
        if self.position.target.is_build:
            return
        self._as_of.handled(records)
        reader = self.position.reader
        as_of = self._as_of.of(reader.partitions, reader.at_end(), polled_at)
        if as_of is not None:
            self.control.progress.advance(AS_OF, as_of)

    def _note_behind(self, behind: float) -> None:
        """Note how far Redis is behind; who has to give way is told soon."""
        progress, before = self.control.progress, self._behind
        self._behind, self._saturation = behind, self._saturation.after(behind, time.time())
        progress.set(BEHIND, round(max(0.0, behind), 3))
        if (before >= GIVES_WAY_FROM) != (behind >= GIVES_WAY_FROM):
            progress.is_news = True

    def _overload(self) -> LoopState | None:
        return self._saturation.state(self._behind, time.time())
