"""Takes messages in for forward, as far as there is room; what is not read stays in Kafka."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.batches import Rejected
from engagement_platform.domain.delivery.dispatch import Dispatch
from engagement_platform.domain.delivery.parcels import Outgoing
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.progress import REJECTED
from engagement_platform.settings import Settings
from engagement_platform.stream.dead_letters import DeadLetterWriter
from engagement_platform.stream.duplicates import note_duplicates
from engagement_platform.stream.forward.topic import Topic, judged, outgoing
from engagement_platform.stream.progress import Progress
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.rejection_limit import RejectionLimit

log = logging.getLogger("engagement_platform.forward")

_MAX_EVENTS = 20_000
_MAX_BYTES = 32 << 20
"""Of the events in memory that are not settled."""
_MAX_SPAN = 200_000
"""Of messages behind one that is not settled: so many are delivered again after a crash."""

_IDLE_POLL_MS = 200
_BUSY_POLL_MS = 25
"""While outcomes are waited for, which a poll does not notice."""
_FULL_WAIT_SECONDS = 0.01


@dataclass(eq=False)
class Intake:
    """Adds what the topics have to the dispatch. Messages that are no events become dead letters, a few at most."""

    settings: Settings
    topics: Mapping[str, Topic]
    dispatch: Dispatch
    progress: Progress
    readers: Readers
    limit: RejectionLimit
    dead_letters: DeadLetterWriter
    _is_full: bool = False
    _replays: Interval = field(default_factory=lambda: Interval(_IDLE_POLL_MS / 1_000, is_due=True))
    """When to look for replays, which mostly are none."""
    _stopped: StreamStopped | None = None
    """Why no more messages are read."""

    def take(self) -> float:
        """Take in messages; return for how many seconds outcomes are to be waited for before the next time.

        When too many messages are rejected nothing is read any more. Raises StreamStopped once those before them are
        delivered, so that they are not delivered again when the loop goes on.
        """
        if self._stopped is not None:
            if self.dispatch.is_idle:
                raise self._stopped
            return _BUSY_POLL_MS / 1_000
        self._hold_when_full()
        patience = 0 if self._is_full else _IDLE_POLL_MS if self.dispatch.is_idle else _BUSY_POLL_MS
        for topic in self.topics.values():
            is_live = topic.name == self.settings.topics.events
            if not is_live and not self._replays.is_due:
                continue
            records = topic.poll(patience if is_live else 0)
            note_duplicates(self.progress, topic.reader.duplicates(), log)
            if not is_live and not records:
                self._replays.restart()
            try:
                self._add(topic, records)
            except StreamStopped as error:
                self._stopped = error
                break
        return _FULL_WAIT_SECONDS if self._is_full else 0.0

    def _hold_when_full(self) -> None:
        held, span = self.dispatch.held, sum(topic.span for topic in self.topics.values())
        is_full = held.events >= _MAX_EVENTS or held.bytes >= _MAX_BYTES or span >= _MAX_SPAN
        if is_full != self._is_full:
            self._is_full = is_full
            for topic in self.topics.values():
                topic.reader.hold(holding=is_full)

    def _add(self, topic: Topic, records: list[Record]) -> None:
        """Add messages, all or none of them. Raises StreamStopped when too many are no events."""
        self.readers.meet(header for record in records for header in record.headers)
        lines = self.readers.lines
        checked = [outgoing(r, time.monotonic(), lines, topic.tried_before(r.partition, r.offset)) for r in records]
        rejected = [(one, record) for one, record in zip(checked, records, strict=True) if isinstance(one, Rejected)]
        self.limit.require(judged(records, checked), rejected[0][0].reason if rejected else "")
        for event in checked:
            if isinstance(event, Outgoing):
                self.dispatch.add(event)
        self.dead_letters.keep_rejected([one for one, _ in rejected])
        for _, record in rejected:  # only now, for their offsets may be stored from here on
            topic.settle(record.partition, record.offset)
        self.limit.done()
        self.progress.count(REJECTED, len(rejected))
