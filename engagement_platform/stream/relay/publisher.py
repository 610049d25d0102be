"""Writes what the relay has decided to Kafka: events, dead letters and the checkpoint, in one transaction."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from engagement_platform.adapters import batch_log
from engagement_platform.adapters.kafka.checkpoints import key
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.repeated import Interval
from engagement_platform.adapters.source.rows import Row
from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain import marks as marking
from engagement_platform.domain.checkpoint import MessageSchema
from engagement_platform.domain.dead_letters import encode_dead_letter
from engagement_platform.domain.ledger import Ledger
from engagement_platform.domain.messages import dead_letter, fault, headers, judged
from engagement_platform.settings import Settings
from engagement_platform.stream.rejection_limit import RejectionLimit
from engagement_platform.stream.relay.clients import Clients
from engagement_platform.stream.relay.source_watch import SourceWatch

log = logging.getLogger("engagement_platform.relay")

CHECKPOINT_SECONDS = 1.0
"""How often a checkpoint is written when only the ledger changed, without events."""


@dataclass(eq=False)
class Publisher:
    """Says all that the checkpoint says: what is in Kafka, of which source, and of which schema messages are."""

    settings: Settings
    clients: Clients
    watch: SourceWatch
    limit: RejectionLimit
    messages: MessageSchema
    """Which schema messages have from here on."""
    unseen_at: int
    """When the last poll that was not cut off began: what it did not see was committed later."""
    generation: int = 0
    written: Ledger | None = None
    """The ledger of the last checkpoint in Kafka, which another relay may have written; None where something else that
    the checkpoint says is no longer true.
    """

    def __post_init__(self) -> None:
        self._key = key(self.settings)
        self.checkpoints = Interval(CHECKPOINT_SECONDS, is_due=False)
        """When one may be written of which only the ledger is new."""

    def publish(self, rows: Sequence[Row], ledger: Ledger, time_column: str) -> int:
        """Publish rows with the ledger after them; return how many of them became dead letters.

        Raises StreamStopped, before anything of them is published, where those would be too many.
        """
        common = headers(self.messages.number, self.unseen_at)
        largest = self.clients.limits.message_bytes
        reasons = [fault(row.bytes, largest, row.has_timestamp, time_column) for row in rows]
        self.limit.require(*judged([row.id for row in rows], reasons))
        messages = []
        for row, reason in zip(rows, reasons, strict=True):
            if reason is None:
                messages.append(Message(self.settings.topics.events, row.key, row.value, common))
            else:
                letter = dead_letter(row.id, reason, row.value, now(), self.clients.largest_letter)
                log.warning("event %d is a dead letter: %s", row.id, reason)
                messages.append(Message(self.settings.topics.dead_letters, b"%d" % row.id, encode_dead_letter(letter)))
        self._commit(messages, ledger)
        self.limit.done()
        if batch_log.is_on():
            batch_log.published(self.unseen_at, [row.id for row in rows])
        return len(reasons) - reasons.count(None)

    def write_checkpoint(self, ledger: Ledger) -> None:
        """Write the ledger as it is, without events."""
        self._commit([], ledger)

    def _commit(self, messages: list[Message], ledger: Ledger) -> None:
        watch = self.watch
        record = checkpoints.of(
            ledger,
            watch.identity,
            self.unseen_at,
            self.generation,
            numbered=watch.numbered,
            marks=marking.encode(watch.marks),
            marked_by=watch.marked_by,
            schema=self.messages,
        )
        value = checkpoints.to_bytes(record)
        self.clients.producer.commit([*messages, Message(self.settings.topics.checkpoint, self._key, value)])
        self.written = ledger
        self.checkpoints.restart()
        self.clients.mirror.record(record)


def now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000
