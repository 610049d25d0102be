"""stage: Kafka to the warehouse. Every event is in the table exactly once.

Messages are gathered into batches by age and size. A batch is entered in the platform database before it is sent, with
its offset ranges and the id made from them, and the writer's next batch begins where the last one that was entered
ends. So a stage that is killed anywhere is continued from those rows: what is open is completed under its own id.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from engagement_platform.adapters import batch_log
from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged
from engagement_platform.adapters.platform.loads import LoadRow, offsets_of_stage
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.errors import EngagementError, StreamStopped, Unavailable
from engagement_platform.domain.progress import (
    AS_OF,
    BATCHES,
    BYTES,
    EVENTS,
    REJECTED,
    ROWS,
    TABLE_BYTES,
    TABLE_FILES,
    TABLE_ROWS,
)
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.duplicates import note_duplicates
from engagement_platform.stream.give_way import GiveWay
from engagement_platform.stream.lag import backlog_behind, lag_behind
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.rejection_limit import RejectionLimit, rejection_limit
from engagement_platform.stream.stage import batch_files
from engagement_platform.stream.stage.batch import Batch
from engagement_platform.stream.stage.clients import Clients, connected
from engagement_platform.stream.stage.loader import Loader
from engagement_platform.stream.stage.position import SLOW_SECONDS, Position
from engagement_platform.stream.supervisor import FailureStreak, Supervision, supervise

log = logging.getLogger("engagement_platform.stage")

_MAX_BYTES = 64 << 20
"""Of the messages of one batch: with the largest ones a batch has fewer rows."""

_EXTENT_SECONDS = 60.0
"""How often the warehouse is asked how large the table is: after a load, for which its log was just read."""

_HEARD = 3
"""What a poll tells of the topic's end Kafka has said since the poll before the last one began: it may have held its
answer for as long as a poll takes, and the answer may have waited meanwhile.
"""

_REST_SECONDS = 0.25
"""How soon it looks again whether Redis has caught up."""


def run(settings: Settings, control: Control) -> None:
    """Load batches until the lease is over or, when draining, until everything that was in Kafka before is loaded.

    Waits for servers that do not answer. What a person has to put right is said, and looked at again now and then: a
    warehouse that cannot be used must not end the run that feeds Redis. When draining it is raised. Ends quietly when
    another run has taken over.
    """
    readers = Readers(settings)

    def attempt(supervision: Supervision) -> None:
        control.expect(SLOW_SECONDS)
        try:
            with connected(settings, control.shard) as clients:
                supervision.claim()
                _Stage(settings, control, clients, supervision, readers=readers, limit=limit).run()
        except TopicChanged as error:
            control.progress.offsets = {}  # of the topic that is gone: nothing can be counted from them
            raise StreamStopped(
                error.what,
                "If the topic was recreated on purpose: engagement-platform warehouse restart, which loads the new"
                " topic from its beginning; then rebuild the days in question.",
            ) from error

    with rejection_limit(settings, "stage") as limit:
        supervise(control, attempt, log=log, count_lag=lambda: lag_behind(settings, control), max_pause=5.0)


def backlog(settings: Settings, shard: Shard = WHOLE) -> int:
    """Return how many messages wait in a shard, as the loads in the platform database tell. Raises EngagementError."""
    return backlog_behind(settings, lambda topic_id: offsets_of_stage(settings, topic_id), shard)


class _Stage:
    """One stage, connected: it gathers messages, and loads them when a batch is old or large enough."""

    def __init__(
        self,
        settings: Settings,
        control: Control,
        clients: Clients,
        supervision: Supervision,
        *,
        readers: Readers,
        limit: RejectionLimit,
    ) -> None:
        self._settings = settings
        self._control = control
        self._reader = clients.reader
        self._supervision = supervision
        self._limit = limit
        self._position = Position(settings, control, clients, readers)
        self._loader = Loader(settings, control, clients, self._position, supervision=supervision, limit=limit)
        self._failures = FailureStreak(supervision)
        self._give_way = GiveWay(control)
        self._warehouse, self._table = clients.warehouse, clients.table
        self._extents = Interval(_EXTENT_SECONDS, is_due=True)
        self._polls: deque[float] = deque(maxlen=_HEARD)
        """When the last polls began."""

    def run(self) -> None:
        drain_to = self._reader.end_offsets() if self._control.drain else {}
        batch_files.remove_leftovers(batch_files.folder_of(self._settings))
        self._position.resume()
        while not self._control.should_stop():
            try:
                if self._step(drain_to):
                    return
            except OffsetsExpired as error:
                self._position.skip_what_expired(error)
            except Unavailable as error:
                self._failures.failed(error)

    def _step(self, drain_to: Mapping[int, int]) -> bool:
        """Gather what there is, and load it when it is due; say whether all up to `drain_to` is loaded."""
        position = self._position
        if self._failures.has_failed:
            position.take_up()
        elif rest := self._give_way.seconds():
            self._tell()
            self._control.wait(min(rest, _REST_SECONDS))
            return False
        position.follow_new_partitions()
        if not self._is_full():  # as a batch stays that could not be loaded
            self._polls.append(time.time())
            position.gather(self._settings.stage.batch_rows - position.batch.messages)
        drained = self._control.drain and position.has_reached(drain_to)
        if self._is_due() or (drained and position.batch.since is not None):
            batch = position.batch
            if (load := self._loader.load()) is not None:
                self._report(batch, load)
                self._tell_extent()
        self._failures.worked()
        self._tell()
        return drained

    def _tell(self) -> None:
        """Tell how much waits, and what the loop does."""
        lag = self._reader.waiting() + self._position.batch.messages
        self._control.progress.lag = lag
        if not lag and len(self._polls) == _HEARD and self._reader.is_at_end():
            self._control.progress.advance(AS_OF, self._polls[0])
        idles = self._supervision.idles(len(self._position.batch.begins))
        self._supervision.works(but=self._limit.state(lag) or self._give_way.state() or idles)

    def _tell_extent(self) -> None:
        """Tell now and then how large the table is. The load is done, whatever comes of it."""
        if not self._extents.is_due:
            return
        self._extents.restart()
        with suppress(EngagementError):
            extent, progress = self._warehouse.extent(self._table), self._control.progress
            progress.set(TABLE_ROWS, extent.rows)
            progress.set(TABLE_BYTES, extent.bytes)
            if extent.files is not None:
                progress.set(TABLE_FILES, extent.files)

    def _is_full(self) -> bool:
        batch = self._position.batch
        return batch.messages >= self._settings.stage.batch_rows or batch.size >= _MAX_BYTES

    def _is_due(self) -> bool:
        since = self._position.batch.since
        if since is None:
            return False
        return self._is_full() or time.monotonic() - since >= self._settings.effective_stage_seconds

    def _report(self, batch: Batch, load: LoadRow) -> None:
        progress = self._control.progress
        progress.count(EVENTS, batch.messages)
        note_duplicates(progress, batch.duplicates, log)
        for counter, number in ((BYTES, batch.size), (BATCHES, 1), (ROWS, load.rows), (REJECTED, load.rejected)):
            progress.count(counter, number)
        if batch_log.is_on():
            ranges = {p: (begin, batch.ends[p] - 1) for p, begin in batch.begins.items() if batch.ends[p] > begin}
            batch_log.handled("loaded", (mark.decode() for mark in batch.unseen if mark), ranges, batch.messages)
        if as_of := min(load.unseen_at.values(), default=0):
            progress.advance(AS_OF, as_of / 1_000_000)
        now_us = time.time_ns() // 1_000
        for unseen, times in batch.unseen.items():
            if unseen and unseen.isdigit():
                progress.latency.add((now_us - int(unseen)) / 1_000_000, times)
