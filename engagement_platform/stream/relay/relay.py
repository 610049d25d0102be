"""One relay that owns the stream: it polls the source and takes the ledger's four steps."""

import time
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

from engagement_platform.adapters.source.rows import Altered, Rows
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.ledger import NOBODY, Ledger, Seen, absorb, opens_gaps, worth_probing
from engagement_platform.domain.progress import AS_OF, BATCHES, BYTES, EVENTS, OPEN_IDS, REJECTED
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.relay.clients import Clients
from engagement_platform.stream.relay.numbers import Numbers
from engagement_platform.stream.relay.pace import Pace
from engagement_platform.stream.relay.publisher import Publisher, now
from engagement_platform.stream.relay.read_ahead import Batch, ReadAhead, reading_ahead
from engagement_platform.stream.relay.source_watch import SourceWatch, require_few_foreign
from engagement_platform.stream.relay.unended import OpenForLong
from engagement_platform.stream.supervisor import Supervision


@dataclass(eq=False)
class Relay:
    """One relay that owns the stream. `ledger` is what is safely in Kafka."""

    clients: Clients
    settings: Settings
    control: Control
    watch: SourceWatch
    ledger: Ledger
    _: KW_ONLY
    schema: Schema
    numbers: Numbers
    publisher: Publisher
    _ahead: ReadAhead | None = field(default=None, init=False)

    def run(self, supervision: Supervision) -> None:
        """Poll until the lease is over or, when draining, until a poll was not cut off."""
        with reading_ahead() as self._ahead:
            self._poll_on(supervision)
        if self.publisher.written != self.ledger:
            self.publisher.write_checkpoint(self.ledger)

    def _poll_on(self, supervision: Supervision) -> None:
        pace, open_for_long = Pace(self.settings.relay.idle_poll_ms / 1000), OpenForLong(self.clients, self.settings)
        while not self.control.should_stop():
            started = time.monotonic()
            open_for_long.look()
            rows = self.poll()
            supervision.works(but=self.publisher.limit.state(self.control.progress.lag))
            if self.control.drain and not rows.cut:
                break
            if not rows.cut:
                self.control.wait(pace.pause(time.monotonic() - started, has_events=bool(rows.rows)))

    def poll(self) -> Rows:
        """Look at the source where that is due, take the ledger's four steps once, and publish what was found."""
        self.clients.watch.require()
        self.clients.watch.require_limits(events=self.clients.largest_message, dead_letters=self.clients.largest_letter)
        is_look = self.watch.looks.is_due
        try:
            if is_look:
                self._look()
            return self._step(everything=is_look or self.control.drain)
        except Altered:
            if is_look:  # just looked at: whoever goes on like this would ask without a pause
                raise
            self.watch.looks.expire()
            return Rows([], cut=True)

    def _look(self) -> None:
        """Look at the source, without what was read ahead: ledger and number of the schema may be others now."""
        if self._ahead is not None:
            self._ahead.drop()
        was = self.watch.identity
        self.ledger = self.watch.look(self.ledger)
        if self.watch.identity != was:
            self.publisher.written = None
        self._take_up_schema()

    def _take_up_schema(self) -> None:
        """Give the schema that the source has now its number, before anything of it is published."""
        schema = self.clients.source.schema
        if schema is self.schema:
            return
        messages = self.numbers.of(schema)
        if messages != self.publisher.messages:
            self.watch.reform()
            self.publisher.written = None
        self.schema, self.publisher.messages = schema, messages

    def _step(self, *, everything: bool) -> Rows:
        batch = self._ahead.take() if self._ahead is not None else None
        batch = batch or self._read(self.ledger, everything=everything)
        rows, ledger, publisher = batch.rows, batch.ledger, self.publisher
        if self.watch.is_set_back(rows) or batch.schema is not self.schema:
            raise Altered
        if rows.rows:
            require_few_foreign(ledger, self.clients.source.table)
            self.watch.note(rows)
            if rows.cut and self._ahead is not None:
                self._ahead.start(partial(self._read, ledger, everything=self.control.drain))
            rejected = publisher.publish(rows.rows, ledger, self.schema.time)
            self.control.progress.count(REJECTED, rejected)
        self.ledger = ledger
        self._report(batch)
        if not rows.cut:
            publisher.unseen_at = batch.started
        self.control.progress.set(AS_OF, publisher.unseen_at / 1_000_000)
        if publisher.checkpoints.is_due and publisher.written != ledger:
            publisher.write_checkpoint(ledger)
        return rows

    def _read(self, ledger: Ledger, *, everything: bool) -> Batch:
        """Read what follows a ledger, and return it with the ledger after it. Uses nothing but the source."""
        started, source = now(), self.clients.source
        before = source.holders() if ledger.gaps else NOBODY
        rows = source.read(ledger.hi, worth_probing(ledger, before, everything=everything), self.clients.limits)
        seen = Seen([row.id for row in rows.rows], rows.cut, rows.last_given)
        after = source.holders() if opens_gaps(ledger, seen) else NOBODY
        return Batch(started, rows, absorb(ledger, before, seen, after), source.schema, self._lag(rows))

    def _report(self, batch: Batch) -> None:
        progress, rows = self.control.progress, batch.rows.rows
        progress.lag = batch.lag
        progress.set(OPEN_IDS, self.ledger.open_ids)
        if rows:
            progress.count(EVENTS, len(rows))
            progress.count(BATCHES)
            progress.count(BYTES, sum(row.bytes for row in rows))
            progress.latency.add((now() - self.publisher.unseen_at) / 1_000_000, len(rows))

    def _lag(self, rows: Rows) -> int:
        if not rows.cut or not rows.rows:
            return 0
        highest = self.clients.source.highest_id()
        return max(0, min(highest, highest if rows.last_given is None else rows.last_given) - rows.rows[-1].id)
