"""stage: Kafka to the warehouse. Every event is in the table exactly once.

Messages are gathered into batches by age and size. A batch is entered in the platform database before it is sent, with
its offset ranges and the id made from them, and the writer's next batch begins where the last one that was entered
ends. So a stage that is killed anywhere is continued from those rows: what is open is completed under its own id.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged, TopicReader
from engagement_platform.adapters.kafka.plain import send_letters
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.topics import topic_configuration
from engagement_platform.adapters.platform import published
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.due_days import DueDays
from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.loop_status import offsets_of_stage
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.adapters.source.history import days_published_since
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.batches import Line, Rejected, line_of, load_id, name_of, uncovered
from engagement_platform.domain.checkpoint import missing_ranges
from engagement_platform.domain.coverage import Coverage, common
from engagement_platform.domain.errors import StreamStopped, Superseded, Unavailable
from engagement_platform.domain.event import HEADER_UNSEEN_AT, DeadLetter, kept
from engagement_platform.domain.loop_state import Kind, LoopState
from engagement_platform.domain.table import ENGAGEMENT_EVENTS
from engagement_platform.settings import Settings
from engagement_platform.stream.backlog import backlog_behind, lag_behind
from engagement_platform.stream.control import Control
from engagement_platform.stream.registry import loop_named
from engagement_platform.stream.stage import batch_files
from engagement_platform.stream.stage.open_loads import deliver, settle_load, split
from engagement_platform.stream.stage.open_rebuilds import SILENT_SECONDS, Silence, settle_rebuild
from engagement_platform.stream.supervisor import FailureStreak, Supervision, supervise
from engagement_platform.stream.topic_watch import watching

log = logging.getLogger("engagement_platform.stage")

WRITER = "stage"
POLL_MS = 500
SLOW_SECONDS = 2_400.0
"""What the warehouse, or a scan of the source, may take before the stage counts as hung: a job of BigQuery waits for up
to half an hour, and must not cost relay and tally their lease.
"""
_MAX_BYTES = 64 << 20
"""Of the messages of one batch: with the largest ones a batch has fewer rows."""
_MAX_LETTER_BYTES = 1 << 20
"""Of a letter, whatever its topic would take."""
_MAX_RECORDS = 5_000
"""Of one poll."""
_REBUILD_PAUSE = 0.1
CLOCKS_APART_US = 60_000_000
"""How far the clocks of two relays may be apart whose headers and checkpoints are compared."""


def run(settings: Settings, control: Control) -> None:
    """Load batches until the lease is over or, when draining, until everything that was in Kafka before is loaded.

    Waits for servers that do not answer. What a person has to put right is said, and looked at again now and then: a
    warehouse that cannot be used must not end the run that feeds Redis. When draining it is raised. Ends quietly when
    another run has taken over.
    """

    def attempt(supervision: Supervision) -> None:
        control.expect(SLOW_SECONDS)
        try:
            with _connected(settings) as clients:
                supervision.claim()
                _Stage(settings, control, clients, supervision).run()
        except TopicChanged as error:
            control.progress.offsets = {}  # of the topic that is gone: nothing can be counted from them
            raise _other_topic(error.what) from error

    supervise(control, attempt, log=log, count_lag=lambda: lag_behind(settings, control.progress), max_pause=5.0)


def backlog(settings: Settings) -> int:
    """Return how many messages wait, as the loads in the platform database tell. Raises EngagementError."""
    return backlog_behind(settings, lambda topic_id: offsets_of_stage(settings, topic_id))


@dataclass(frozen=True, slots=True)
class _Clients:
    reader: TopicReader
    loads: Loads
    warehouse: Warehouse
    table_id: str


@contextmanager
def _connected(settings: Settings) -> Iterator[_Clients]:
    """Connect to everything, before the claim."""
    ensure_schema(settings)
    warehouse = open_warehouse(settings)
    table_id = warehouse.ensure(ENGAGEMENT_EVENTS)
    loads = Loads(Session(settings, WRITER))
    records = min(_MAX_RECORDS, settings.stage_batch_rows)
    reader = TopicReader(settings, min_bytes=1 << 18, max_wait_ms=POLL_MS, max_records=records)
    try:
        with watching(settings, loop_named("stage"), log):
            yield _Clients(reader, loads, warehouse, table_id)
    finally:
        reader.close()
        loads.close()


@dataclass(slots=True)
class _Gathered:
    """The messages since the last batch."""

    begins: Mapping[int, int]
    ends: Mapping[int, int]
    """partition -> offset behind the last of the messages."""
    since: float | None = None
    """When the first of them came, by the monotonic clock."""
    size: int = 0
    """Bytes of all messages."""
    messages: int = 0
    found: list[Line | Rejected] = field(default_factory=list)
    unseen: Counter[bytes] = field(default_factory=Counter)
    buried: bool = False
    """Whether what was rejected is in the dead letters."""
    latest: dict[int, int] = field(default_factory=dict)
    """partition -> header `unseen-at` of its last message."""

    @classmethod
    def at(cls, offsets: Mapping[int, int]) -> "_Gathered":
        """Return an empty batch that begins at these offsets."""
        return cls(offsets, offsets)

    def add(self, records: Mapping[int, list[Record]], ends: Mapping[int, int], now: float) -> None:
        """Add what was polled, up to the offsets behind it."""
        self.ends = ends
        if records and self.since is None:
            self.since = now
        for partition, messages in records.items():
            for message in messages:
                self.found.append(line_of(message.value))
                self.size += len(message.value or b"")
                self.messages += 1
            unseen = [value for m in messages for key, value in m.headers if key == HEADER_UNSEEN_AT]
            self.unseen.update(unseen)
            if unseen and unseen[-1] and unseen[-1].isdigit():
                self.latest[partition] = int(unseen[-1])


class _Stage:
    """One stage, connected. The rows in the platform database say where it stands."""

    def __init__(self, settings: Settings, control: Control, clients: _Clients, supervision: Supervision) -> None:
        self._settings = settings
        self._control = control
        self._reader = clients.reader
        self._loads = clients.loads
        self._warehouse = clients.warehouse
        self._table_id = clients.table_id
        self._supervision = supervision
        self._version = 0
        self._unseen: Mapping[int, int] = {}
        self._gathered = _Gathered.at({})
        self._failures = FailureStreak(supervision)
        self._silence = Silence()

    def run(self) -> None:
        drain_to = self._reader.end_offsets() if self._control.drain else {}
        batch_files.remove_leftovers(batch_files.folder_of(self._settings))
        self._resume()
        while not self._control.should_stop():
            try:
                if self._step(drain_to):
                    return
            except OffsetsExpired as error:
                self._skip_what_expired(error)
            except Unavailable as error:
                self._failures.failed(error)

    def _step(self, drain_to: Mapping[int, int]) -> bool:
        """Gather what there is, and load it when it is due; say whether all up to `drain_to` is loaded."""
        if self._failures.has_failed:
            self._take_up()
        self._follow_new_partitions()
        if not self._is_full():  # as a batch stays that could not be loaded
            records = self._reader.poll(POLL_MS)
            self._gathered.add(records, self._reader.positions(), time.monotonic())
        drained = self._control.drain and self._reached(drain_to)
        if self._is_due() or (drained and self._gathered.since is not None):
            self._load()
        self._failures.worked()
        self._supervision.works()
        self._control.progress.lag = self._reader.waiting() + self._gathered.messages
        return drained

    def _take_up(self) -> None:
        """Go on behind what is gathered, if nothing was entered meanwhile; else from what was entered.

        Messages that a poll had taken when it failed are read again.
        """
        self._reader.verify()
        last = self._loads.last_load(self._table_id, WRITER)
        if (0 if last is None else last.version) == self._version and (last is None or last.closed_at is not None):
            self._reader.seek(self._gathered.ends)
        else:
            self._resume()

    # Where it stands

    def _resume(self) -> None:
        """Complete what is open and go on behind the last batch that was entered."""
        self._control.expect(SLOW_SECONDS)
        for load in self._loads.open_loads(self._table_id):
            if load.writer == WRITER:
                settle_load(self._warehouse, self._loads, load, self._settings)
        last = self._loads.last_load(self._table_id, WRITER)
        if last is None:
            self._version, offsets = 0, self._reader.beginning_offsets()
        elif last.topic_id != self._reader.topic_id:
            raise TopicChanged(
                f"The warehouse has loads of topic {last.topic_id}, but Kafka has {self._reader.topic_id}."
            )
        else:
            self._version, offsets = last.version, dict(last.next_offsets)
            self._unseen = last.unseen_at
        self._read_from(offsets)

    def _read_from(self, offsets: Mapping[int, int]) -> None:
        """Read all partitions; one that was never read is new and starts at 0."""
        begins = dict.fromkeys(self._reader.partitions, 0) | dict(offsets)
        self._gathered = _Gathered.at(begins)
        self._reader.seek(begins)

    def _follow_new_partitions(self) -> None:
        new = self._reader.partitions - self._gathered.begins.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self._read_from(self._gathered.begins)

    def _skip_what_expired(self, error: OffsetsExpired) -> None:
        """Go on with the oldest messages there are; the days of those that are gone have to be rebuilt.

        Which ids are gone nobody knows any more. So the days are noted of all that was not yet published when the
        first message that was not read was: also of those whose transactions had been open for long.
        """
        self._reader.verify()  # else the offsets are missing because the topic is another one
        self._control.expect(SLOW_SECONDS)
        last = self._loads.last_load(self._table_id, WRITER)
        if last is not None:
            days = days_published_since(origin_of(self._settings), self._read_before(last))
            DueDays(self._loads.session).note(self._table_id, days, "Kafka's messages expired before they were loaded")
            log.error("%s To be rebuilt: %s", error.what, ", ".join(map(str, days)))
        oldest = self._reader.beginning_offsets()
        self._read_from({p: max(at, oldest.get(p, 0)) for p, at in self._gathered.begins.items()})

    def _read_before(self, last: LoadRow) -> Coverage:
        """Return ids that were published before every message that the loads up to the last one have not read."""
        moments = [last.unseen_at.get(partition, 0) for partition in self._reader.partitions]
        then = published.before_unseen(self._settings, min(moments, default=0) - CLOCKS_APART_US)
        if then is not None:
            return Coverage(then.hi, tuple(missing_ranges(then)))
        # No checkpoint is so old. Then those from the last load on, and what was open when the first one was kept.
        loaded, kept = Coverage((last.lowest_id or 0) - 1), published.generations(self._settings)
        return common(loaded, Coverage(kept[0][0].hi, tuple(missing_ranges(kept[0][0])))) if kept else loaded

    def _reached(self, goal: Mapping[int, int]) -> bool:
        positions = self._reader.positions()
        return all(positions.get(partition, 0) >= end for partition, end in goal.items())

    # One batch

    def _is_full(self) -> bool:
        return self._gathered.messages >= self._settings.stage_batch_rows or self._gathered.size >= _MAX_BYTES

    def _is_due(self) -> bool:
        since = self._gathered.since
        if since is None:
            return False
        return self._is_full() or time.monotonic() - since >= self._settings.effective_stage_seconds

    def _load(self) -> None:
        """Enter the batch, send it, and begin the next one behind it."""
        self._reader.verify()
        gathered, positions = self._gathered, self._gathered.ends
        lines, rejected = split(gathered.found)
        ranges = {p: (begin, positions[p]) for p, begin in gathered.begins.items() if positions[p] > begin}
        if not gathered.buried:
            self._bury(rejected, name_of(self._settings.topic, ranges))
            gathered.buried = True
        load = LoadRow(
            table_id=self._table_id,
            writer=WRITER,
            version=self._version + 1,
            load_id=load_id(self._table_id, self._reader.topic_id, ranges),
            topic_id=self._reader.topic_id,
            ranges=ranges,
            next_offsets=positions,
            days=tuple(sorted({line.day for line in lines})),
            rows=len(lines),
            rejected=len(rejected),
            unseen_at=self._unseen_at(gathered, positions),
        )
        chosen = self._enter(load, lines)
        if chosen is None:
            self._resume()  # another stage has entered that version
            return
        if chosen:
            self._control.expect(SLOW_SECONDS)
            deliver(self._warehouse, self._loads, load, chosen, self._settings)
        self._version, self._unseen = load.version, load.unseen_at
        self._gathered = _Gathered.at(positions)
        self._control.progress.offsets = dict(positions)
        self._report(gathered, len(chosen), len(rejected))

    def _unseen_at(self, gathered: _Gathered, positions: Mapping[int, int]) -> dict[int, int]:
        """Return for each partition a bound below the header `unseen-at` of every message behind these positions.

        Within a partition it is that of the last message. One that was read to its end after the newest message of the
        batch came has no message of an earlier transaction left.
        """
        ends, newest = self._reader.end_offsets(), max(gathered.latest.values(), default=0)
        latest = {**self._unseen, **gathered.latest}
        return {p: max(latest.get(p, 0), newest if at >= ends.get(p, 0) else 0) for p, at in positions.items()}

    def _bury(self, rejected: list[Rejected], name: str) -> None:
        """Keep what was rejected where people find it. A stage that dies after this does it again."""
        if not rejected:
            return
        log.warning("%d messages are no events, the first: %s", len(rejected), rejected[0].reason)
        batch_files.keep_rejected(batch_files.folder_of(self._settings), name, rejected)
        topic, now = self._settings.dead_letter_topic, datetime.now(UTC)
        largest = min(int(topic_configuration(self._settings, topic)["max.message.bytes"]), _MAX_LETTER_BYTES)
        send_letters(self._settings, (_letter(one, now, largest) for one in rejected))

    def _enter(self, load: LoadRow, lines: list[Line]) -> list[Line] | None:
        """Enter a load with the lines that no rebuilt day holds; return them. None when it was not entered."""
        while not self._control.should_stop():
            with self._loads.admission(load.table_id, load.days) as admission:
                if not admission.rebuilds:
                    chosen = uncovered(lines, admission.coverages)
                    ids = [line.id for line in chosen]
                    entered = admission.open(
                        replace(
                            load,
                            rows=len(chosen),
                            covered=len(lines) - len(chosen),
                            lowest_id=min(ids, default=None),
                            highest_id=max(ids, default=None),
                        )
                    )
                    return chosen if entered else None
            self._wait_for(admission.rebuilds)
        raise Superseded("The stage ends before its batch was entered; the next one reads it again.")

    def _wait_for(self, rebuilds: Sequence[RebuildRow]) -> None:
        """Wait for rebuilds of the batch's days; settle those whose process is gone."""
        days = ", ".join(str(rebuild.day) for rebuild in rebuilds)
        state = LoopState(Kind.WAITS, time.time(), f"the rebuild of {days}", "a live load of that day comes after it")
        self._supervision.works(but=state)
        for rebuild in rebuilds:
            if self._silence.is_dead(rebuild, SILENT_SECONDS, time.monotonic()):
                self._control.expect(SLOW_SECONDS)
                settle_rebuild(self._warehouse, Rebuilds(self._loads.session), rebuild)
        self._control.wait(_REBUILD_PAUSE)

    def _report(self, gathered: _Gathered, rows: int, rejected: int) -> None:
        progress = self._control.progress
        progress.events += gathered.messages
        for name, number in (("batches", 1), ("rows", rows), ("rejected", rejected)):
            progress.detail[name] = int(progress.detail.get(name, 0)) + number
        now_us = time.time_ns() // 1_000
        for unseen, times in gathered.unseen.items():
            if unseen and unseen.isdigit():
                progress.latency.add((now_us - int(unseen)) / 1_000, times)


def _letter(rejected: Rejected, now: datetime, largest: int) -> DeadLetter:
    return DeadLetter(
        source=WRITER,
        event_id=rejected.id,
        reason=rejected.reason,
        excerpt=rejected.excerpt,
        at=now,
        event=kept(rejected.value, largest),
    )


def _other_topic(what: str) -> StreamStopped:
    return StreamStopped(
        what,
        "If the topic was recreated on purpose: engagement-platform warehouse restart, which loads the new topic from "
        "its beginning; then rebuild the days in question.",
    )
