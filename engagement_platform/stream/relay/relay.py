"""One relay that owns the stream: it polls the source and takes the ledger's four steps."""

import time
from functools import partial

from engagement_platform.adapters.source.rows import Altered, Rows
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.ledger import NOBODY, Ledger, Seen, absorb, opens_gaps, worth_probing
from engagement_platform.domain.progress import EVENTS, OPEN_IDS, REJECTED
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.relay.clients import Clients
from engagement_platform.stream.relay.numbers import Numbers
from engagement_platform.stream.relay.pace import Pace
from engagement_platform.stream.relay.publisher import Publisher, now
from engagement_platform.stream.relay.read_ahead import Batch, ReadAhead, reading_ahead
from engagement_platform.stream.relay.source_watch import SourceWatch, require_few_foreign
from engagement_platform.stream.supervisor import Supervision


class Relay:
    """One relay that owns the stream. `ledger` is what is safely in Kafka."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        control: Control,
        watch: SourceWatch,
        ledger: Ledger,
        *,
        schema: Schema,
        numbers: Numbers,
        publisher: Publisher,
    ) -> None:
        self._clients = clients
        self._numbers = numbers
        self._schema = schema
        self._settings = settings
        self._control = control
        self._watch = watch
        self.ledger = ledger
        self._publisher = publisher
        self._ahead: ReadAhead | None = None

    def run(self, supervision: Supervision) -> None:
        """Poll until the lease is over or, when draining, until a poll was not cut off."""
        with reading_ahead() as self._ahead:
            self._poll_on(supervision)
        if not self._publisher.has_written(self.ledger):
            self._publisher.write_checkpoint(self.ledger)

    def _poll_on(self, supervision: Supervision) -> None:
        pace = Pace(self._settings.relay.idle_poll_ms / 1000)
        while not self._control.should_stop():
            started = time.monotonic()
            rows = self.poll()
            supervision.works(but=self._publisher.limit.state(self._control.progress.lag))
            if self._control.drain and not rows.cut:
                break
            if not rows.cut:
                self._control.wait(pace.pause(time.monotonic() - started, has_events=bool(rows.rows)))

    def poll(self) -> Rows:
        """Look at the source where that is due, take the ledger's four steps once, and publish what was found."""
        self._clients.watch.require()
        self._clients.watch.require_limits(
            events=self._clients.largest_message, dead_letters=self._clients.largest_letter
        )
        is_look = self._watch.looks.is_due
        try:
            if is_look:
                self._look()
            return self._step(everything=is_look or self._control.drain)
        except Altered:
            if is_look:  # just looked at: whoever goes on like this would ask without a pause
                raise
            self._watch.looks.expire()
            return Rows([], cut=True)

    def _look(self) -> None:
        """Look at the source, without what was read ahead: ledger and number of the schema may be others now."""
        if self._ahead is not None:
            self._ahead.drop()
        was = self._watch.identity
        self.ledger = self._watch.look(self.ledger)
        if self._watch.identity != was:
            self._publisher.outdate()
        self._take_up_schema()

    def _take_up_schema(self) -> None:
        """Give the schema that the source has now its number, before anything of it is published."""
        schema = self._clients.source.schema
        if schema is self._schema:
            return
        messages = self._numbers.of(schema)
        if messages != self._publisher.messages:
            self._watch.reform()
            self._publisher.outdate()
        self._schema, self._publisher.messages = schema, messages

    def _step(self, *, everything: bool) -> Rows:
        batch = self._ahead.take() if self._ahead is not None else None
        batch = batch or self._read(self.ledger, everything=everything)
        rows, ledger, publisher = batch.rows, batch.ledger, self._publisher
        if self._watch.is_set_back(rows) or batch.schema is not self._schema:
            raise Altered
        if rows.rows:
            require_few_foreign(ledger, self._clients.source.table)
            self._watch.note(rows)
            if rows.cut and self._ahead is not None:
                self._ahead.start(partial(self._read, ledger, everything=self._control.drain))
            rejected = publisher.publish(rows.rows, ledger, self._schema.time)
            self._control.progress.count(REJECTED, rejected)
        self.ledger = ledger
        self._report(batch)
        if not rows.cut:
            publisher.unseen_at = batch.started
        if publisher.is_due and not publisher.has_written(ledger):
            publisher.write_checkpoint(ledger)
        return rows

    def _read(self, ledger: Ledger, *, everything: bool) -> Batch:
        """Read what follows a ledger, and return it with the ledger after it. Uses nothing but the source."""
        started, source = now(), self._clients.source
        before = source.holders() if ledger.gaps else NOBODY
        rows = source.read(ledger.hi, worth_probing(ledger, before, everything=everything), self._clients.limits)
        seen = Seen([row.id for row in rows.rows], rows.cut, rows.last_given)
        after = source.holders() if opens_gaps(ledger, seen) else NOBODY
        return Batch(started, rows, absorb(ledger, before, seen, after), source.schema, self._lag(rows))

    def _report(self, batch: Batch) -> None:
        progress, rows = self._control.progress, batch.rows.rows
        progress.lag = batch.lag
        progress.set(OPEN_IDS, self.ledger.open_ids)
        if rows:
            progress.count(EVENTS, len(rows))
            progress.latency.add((now() - self._publisher.unseen_at) / 1_000_000, len(rows))

    def _lag(self, rows: Rows) -> int:
        if not rows.cut or not rows.rows:
            return 0
        highest = self._clients.source.highest_id()
        return max(0, min(highest, highest if rows.last_given is None else rows.last_given) - rows.rows[-1].id)
