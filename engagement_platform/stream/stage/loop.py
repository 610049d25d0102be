"""stage: Kafka to the warehouse. Every event is in the table exactly once.

Messages are gathered into batches by age and size. A batch is entered in the platform database before it is sent, with
its offset ranges and the id made from them, and the writer's next batch begins where the last one that was entered
ends. So a stage that is killed anywhere is continued from those rows: what is open is completed under its own id.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged
from engagement_platform.adapters.platform.due_days import DueDays
from engagement_platform.adapters.platform.loads import LoadRow
from engagement_platform.adapters.platform.loop_status import offsets_of_stage
from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.adapters.source.history import days_published_since
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.domain.batches import Line, load_id, name_of, uncovered
from engagement_platform.domain.errors import StreamStopped, Superseded, Unavailable
from engagement_platform.domain.loop_state import Kind, LoopState
from engagement_platform.settings import Settings
from engagement_platform.stream.backlog import backlog_behind, lag_behind
from engagement_platform.stream.control import Control
from engagement_platform.stream.stage import batch_files
from engagement_platform.stream.stage.batch import WRITER, Batch
from engagement_platform.stream.stage.clients import POLL_MS, Clients, connected
from engagement_platform.stream.stage.expired import read_before
from engagement_platform.stream.stage.open_loads import deliver, settle_load
from engagement_platform.stream.stage.open_rebuilds import SILENT_SECONDS, Silence, settle_rebuild
from engagement_platform.stream.stage.rejected import bury
from engagement_platform.stream.supervisor import FailureStreak, Supervision, supervise

log = logging.getLogger("engagement_platform.stage")

SLOW_SECONDS = 2_400.0
"""What the warehouse, or a scan of the source, may take before the stage counts as hung: a job of BigQuery waits for up
to half an hour, and must not cost relay and tally their lease.
"""
_MAX_BYTES = 64 << 20
"""Of the messages of one batch: with the largest ones a batch has fewer rows."""
_REBUILD_PAUSE = 0.1


def run(settings: Settings, control: Control) -> None:
    """Load batches until the lease is over or, when draining, until everything that was in Kafka before is loaded.

    Waits for servers that do not answer. What a person has to put right is said, and looked at again now and then: a
    warehouse that cannot be used must not end the run that feeds Redis. When draining it is raised. Ends quietly when
    another run has taken over.
    """

    def attempt(supervision: Supervision) -> None:
        control.expect(SLOW_SECONDS)
        try:
            with connected(settings) as clients:
                supervision.claim()
                _Stage(settings, control, clients, supervision).run()
        except TopicChanged as error:
            control.progress.offsets = {}  # of the topic that is gone: nothing can be counted from them
            raise _other_topic(error.what) from error

    supervise(control, attempt, log=log, count_lag=lambda: lag_behind(settings, control.progress), max_pause=5.0)


def backlog(settings: Settings) -> int:
    """Return how many messages wait, as the loads in the platform database tell. Raises EngagementError."""
    return backlog_behind(settings, lambda topic_id: offsets_of_stage(settings, topic_id))


class _Stage:
    """One stage, connected. The rows in the platform database say where it stands."""

    def __init__(self, settings: Settings, control: Control, clients: Clients, supervision: Supervision) -> None:
        self._settings = settings
        self._control = control
        self._reader = clients.reader
        self._loads = clients.loads
        self._warehouse = clients.warehouse
        self._table_id = clients.table_id
        self._supervision = supervision
        self._version = 0
        self._unseen: Mapping[int, int] = {}
        self._batch = Batch.at({})
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
            self._batch.add(records, self._reader.positions(), time.monotonic())
        drained = self._control.drain and self._reached(drain_to)
        if self._is_due() or (drained and self._batch.since is not None):
            self._load()
        self._failures.worked()
        self._supervision.works()
        self._control.progress.lag = self._reader.waiting() + self._batch.messages
        return drained

    def _take_up(self) -> None:
        """Go on behind what is gathered, if nothing was entered meanwhile; else from what was entered.

        Messages that a poll had taken when it failed are read again.
        """
        self._reader.verify()
        last = self._loads.last_load(self._table_id, WRITER)
        if (0 if last is None else last.version) == self._version and (last is None or last.closed_at is not None):
            self._reader.seek(self._batch.ends)
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
        self._batch = Batch.at(begins)
        self._reader.seek(begins)

    def _follow_new_partitions(self) -> None:
        new = self._reader.partitions - self._batch.begins.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self._read_from(self._batch.begins)

    def _skip_what_expired(self, error: OffsetsExpired) -> None:
        """Go on with the oldest messages there are; the days of those that are gone have to be rebuilt.

        Which ids are gone nobody knows any more. So the days are noted of all that was not yet published when the
        first message that was not read was: also of those whose transactions had been open for long.
        """
        self._reader.verify()  # else the offsets are missing because the topic is another one
        self._control.expect(SLOW_SECONDS)
        last = self._loads.last_load(self._table_id, WRITER)
        if last is not None:
            days = days_published_since(
                origin_of(self._settings), read_before(self._settings, last, self._reader.partitions)
            )
            DueDays(self._loads.session).note(self._table_id, days, "Kafka's messages expired before they were loaded")
            log.error("%s To be rebuilt: %s", error.what, ", ".join(map(str, days)))
        oldest = self._reader.beginning_offsets()
        self._read_from({p: max(at, oldest.get(p, 0)) for p, at in self._batch.begins.items()})

    def _reached(self, goal: Mapping[int, int]) -> bool:
        positions = self._reader.positions()
        return all(positions.get(partition, 0) >= end for partition, end in goal.items())

    # One batch

    def _is_full(self) -> bool:
        return self._batch.messages >= self._settings.stage.batch_rows or self._batch.size >= _MAX_BYTES

    def _is_due(self) -> bool:
        since = self._batch.since
        if since is None:
            return False
        return self._is_full() or time.monotonic() - since >= self._settings.effective_stage_seconds

    def _load(self) -> None:
        """Enter the batch, send it, and begin the next one behind it."""
        self._reader.verify()
        batch, positions = self._batch, self._batch.ends
        lines, rejected = batch.split()
        ranges = {p: (begin, positions[p]) for p, begin in batch.begins.items() if positions[p] > begin}
        if not batch.buried:
            bury(self._settings, rejected, name_of(self._settings.topics.events, ranges))
            batch.buried = True
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
            unseen_at=self._unseen_at(batch, positions),
        )
        chosen = self._enter(load, lines)
        if chosen is None:
            self._resume()  # another stage has entered that version
            return
        if chosen:
            self._control.expect(SLOW_SECONDS)
            deliver(self._warehouse, self._loads, load, chosen, self._settings)
        self._version, self._unseen = load.version, load.unseen_at
        self._batch = Batch.at(positions)
        self._control.progress.offsets = dict(positions)
        self._report(batch, len(chosen), len(rejected))

    def _unseen_at(self, batch: Batch, positions: Mapping[int, int]) -> dict[int, int]:
        """Return for each partition a bound below the header `unseen-at` of every message behind these positions.

        Within a partition it is that of the last message. One that was read to its end after the newest message of the
        batch came has no message of an earlier transaction left.
        """
        ends, newest = self._reader.end_offsets(), max(batch.latest.values(), default=0)
        latest = {**self._unseen, **batch.latest}
        return {p: max(latest.get(p, 0), newest if at >= ends.get(p, 0) else 0) for p, at in positions.items()}

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

    def _report(self, batch: Batch, rows: int, rejected: int) -> None:
        progress = self._control.progress
        progress.events += batch.messages
        for name, number in (("batches", 1), ("rows", rows), ("rejected", rejected)):
            progress.detail[name] = int(progress.detail.get(name, 0)) + number
        now_us = time.time_ns() // 1_000
        for unseen, times in batch.unseen.items():
            if unseen and unseen.isdigit():
                progress.latency.add((now_us - int(unseen)) / 1_000, times)


def _other_topic(what: str) -> StreamStopped:
    return StreamStopped(
        what,
        "If the topic was recreated on purpose: engagement-platform warehouse restart, which loads the new topic from "
        "its beginning; then rebuild the days in question.",
    )
