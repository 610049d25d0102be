"""relay: PostgreSQL to Kafka. Every committed event is published exactly once, whatever the order of commits.

The gap ledger (`domain.ledger`) decides what to look for; one Kafka transaction carries the events, the dead letters
and the checkpoint; its producer is fenced, so of two relays only the later can commit. After any failure everything
in memory is dropped and the checkpoint is read again.
"""

import logging
import time

from engagement_platform.adapters.kafka.checkpoints import key, open_checkpoints
from engagement_platform.adapters.kafka.producer import Fenced, Message
from engagement_platform.adapters.repeated import Interval
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import Altered, Rows, open_source
from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain import marks as marking
from engagement_platform.domain.checkpoint import Checkpoint
from engagement_platform.domain.dead_letters import encode_dead_letter
from engagement_platform.domain.errors import Superseded, Unavailable
from engagement_platform.domain.ledger import NOBODY, Ledger, Seen, absorb, begin, opens_gaps, worth_probing
from engagement_platform.domain.messages import dead_letter, fault, headers, judged
from engagement_platform.domain.progress import EVENTS, OPEN_IDS, REJECTED
from engagement_platform.settings import Settings
from engagement_platform.stream.backoff import Backoff
from engagement_platform.stream.control import Control
from engagement_platform.stream.rejection_limit import RejectionLimit, rejection_limit
from engagement_platform.stream.relay.clients import Clients, connected
from engagement_platform.stream.relay.numbers import Numbers
from engagement_platform.stream.relay.source_watch import SourceWatch, begin_at, require_few_foreign
from engagement_platform.stream.supervisor import Supervision, supervise

log = logging.getLogger("engagement_platform.relay")

CHECKPOINT_SECONDS = 1.0
"""How often a checkpoint is written when only the ledger changed, without events."""
IDLE_FACTOR = 1.2
"""By which the pauses between polls grow while no events come."""


def run(settings: Settings, control: Control) -> None:
    """Relay until the lease is over or, when draining, until everything committed before is in Kafka.

    Waits for servers that do not answer, and stands still where going on could lose or double events: see
    `stream.supervisor`. Ends quietly when another run has taken over.
    """

    def attempt(supervision: Supervision) -> None:
        try:
            with connected(settings) as clients:
                supervision.claim()
                _take_over(clients, settings, control, limit).run(supervision)
        except Fenced as error:
            _wait_for_the_lease(control, supervision)
            raise Unavailable("Another relay has begun.") from error

    with rejection_limit(settings, "relay") as limit:
        supervise(control, attempt, log=log, count_lag=lambda: backlog(settings))


def _take_over(clients: Clients, settings: Settings, control: Control, limit: RejectionLimit) -> "_Relay":
    """Fence the predecessor and go on from its last committed checkpoint.

    The lease is checked on both sides of the fence: a relay that lost it before would shut out its successor.
    """
    _require_lease(control)
    clients.producer.fence()
    _require_lease(control)
    last = clients.checkpoints.last()
    checkpoints.require_not_behind(last, clients.mirror.last(required=last is None))
    if last is None:
        return _first_start(clients, settings, control, limit)
    return _go_on(clients, settings, control, limit, last)


def _go_on(clients: Clients, settings: Settings, control: Control, limit: RejectionLimit, last: Checkpoint) -> "_Relay":
    clients.mirror.record(last)  # where this relay begins, should nobody have kept an earlier one
    source = clients.source
    marks = checkpoints.marks_of(last)
    numbers = Numbers(settings)
    numbers.take_up(last)
    messages = numbers.of(source.schema)
    watch = SourceWatch(
        source,
        clients.limits,
        last.source,
        numbered=last.numbered,
        marks=marks,
        marked_by=last.marked_by,
        schema_hash=last.schema_hash,
    )
    missing = watch.look(begin(last.hi, checkpoints.missing_ranges(last), NOBODY)).missing
    given = source.last_given()
    ledger = begin(last.hi, missing, source.holders(), given)
    relay = _Relay(
        clients,
        settings,
        control,
        watch,
        ledger,
        limit=limit,
        numbers=numbers,
        unseen_at=last.unseen_at,
        generation=last.generation,
    )
    if not watch.marks:
        watch.remark(ledger)
    if last.source != watch.identity or marks != watch.marks or last.schema_hash != messages.hash:
        relay.write_checkpoint()
    return relay


def _first_start(clients: Clients, settings: Settings, control: Control, limit: RejectionLimit) -> "_Relay":
    started = now()
    numbers = Numbers(settings)
    numbers.of(clients.source.schema)
    at = clients.source.highest_id() if settings.relay.start == "latest" else clients.source.before_all()
    watch = SourceWatch(clients.source, clients.limits, clients.source.identity)
    ledger = begin_at(clients.source, at, settings.relay.start_lookback_ids)
    watch.remark(ledger)
    relay = _Relay(clients, settings, control, watch, ledger, limit=limit, numbers=numbers, unseen_at=started)
    relay.write_checkpoint()
    log.info("first start at id %d, with %d ids below it that are not visible", ledger.hi, ledger.open_ids)
    return relay


class _Relay:
    """One relay that owns the stream. `ledger` and `unseen_at` are what is safely in Kafka."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        control: Control,
        watch: SourceWatch,
        ledger: Ledger,
        *,
        limit: RejectionLimit,
        numbers: Numbers,
        unseen_at: int,
        generation: int = 0,
    ) -> None:
        self._clients = clients
        self._numbers = numbers
        self._schema = clients.source.schema
        self._messages = numbers.of(self._schema)
        self._settings = settings
        self._control = control
        self._watch = watch
        self.ledger = ledger
        self._limit = limit
        self._generation = generation
        self._written: Ledger | None = ledger
        self._key = key(settings)
        self._checkpoints = Interval(CHECKPOINT_SECONDS, is_due=False)
        self.unseen_at = unseen_at
        """When the last poll that was not cut off began: what it did not see was committed later."""

    def run(self, supervision: Supervision) -> None:
        pauses = Backoff(
            self._settings.relay.busy_poll_ms / 1000, self._settings.relay.idle_poll_ms / 1000, IDLE_FACTOR
        )
        while not self._control.should_stop():
            started = time.monotonic()
            rows = self.poll()
            supervision.works(but=self._limit.state(self._control.progress.lag))
            if self._control.drain and not rows.cut:
                break
            if rows.rows:
                pauses.reset()
            if not rows.cut:
                self._control.wait(max(0.0, started + pauses.pause() - time.monotonic()))
        if self.ledger != self._written:
            self.write_checkpoint()

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
        was = self._watch.identity
        self.ledger = self._watch.look(self.ledger)
        if self._watch.identity != was:
            self._written = None
        self._take_up_schema()

    def _take_up_schema(self) -> None:
        """Give the schema that the source has now its number, before anything of it is published."""
        schema = self._clients.source.schema
        if schema is self._schema:
            return
        messages = self._numbers.of(schema)
        if messages != self._messages:
            self._watch.reform()
            self._written = None
        self._schema, self._messages = schema, messages

    def _step(self, *, everything: bool) -> Rows:
        started = now()
        source = self._clients.source
        before = source.holders() if self.ledger.gaps else NOBODY
        probes = worth_probing(self.ledger, before, everything=everything)
        rows = source.read(self.ledger.hi, probes, self._clients.limits)
        if self._watch.is_set_back(rows) or source.schema is not self._schema:
            raise Altered
        seen = Seen([row.id for row in rows.rows], rows.cut, rows.last_given)
        after = source.holders() if opens_gaps(self.ledger, seen) else NOBODY
        ledger = absorb(self.ledger, before, seen, after)
        if rows.rows:
            require_few_foreign(ledger, source.table)
            self._watch.note(rows)
            self._publish(rows, ledger)
        self.ledger = ledger
        self._report(rows)
        if not rows.cut:
            self.unseen_at = started
        if ledger != self._written and self._checkpoints.is_due:
            self.write_checkpoint()
        return rows

    def _publish(self, rows: Rows, ledger: Ledger) -> None:
        common = headers(self._messages.number, self.unseen_at)
        largest = self._clients.limits.message_bytes
        reasons = [fault(row.bytes, largest, row.has_timestamp, self._schema.time) for row in rows.rows]
        self._limit.require(*judged([row.id for row in rows.rows], reasons))
        messages = []
        for row, reason in zip(rows.rows, reasons, strict=True):
            if reason is None:
                messages.append(Message(self._settings.topics.events, row.key, row.value, common))
            else:
                letter = dead_letter(row.id, reason, row.value, now(), self._clients.largest_letter)
                log.warning("event %d is a dead letter: %s", row.id, reason)
                messages.append(Message(self._settings.topics.dead_letters, b"%d" % row.id, encode_dead_letter(letter)))
        self._commit(messages, ledger)
        self._limit.done()
        self._control.progress.count(REJECTED, len(reasons) - reasons.count(None))

    def write_checkpoint(self) -> None:
        """Write the ledger as it is, without events."""
        self._commit([], self.ledger)

    def _commit(self, messages: list[Message], ledger: Ledger) -> None:
        watch = self._watch
        record = checkpoints.of(
            ledger,
            watch.identity,
            self.unseen_at,
            self._generation,
            numbered=watch.numbered,
            marks=marking.encode(watch.marks),
            marked_by=watch.marked_by,
            schema=self._messages,
        )
        value = checkpoints.to_bytes(record)
        self._clients.producer.commit([*messages, Message(self._settings.topics.checkpoint, self._key, value)])
        self._written = ledger
        self._checkpoints.restart()
        self._clients.mirror.record(record)

    def _report(self, rows: Rows) -> None:
        progress = self._control.progress
        progress.lag = self._lag(rows)
        progress.set(OPEN_IDS, self.ledger.open_ids)
        if rows.rows:
            progress.count(EVENTS, len(rows.rows))
            progress.latency.add((now() - self.unseen_at) / 1_000_000, len(rows.rows))

    def _lag(self, rows: Rows) -> int:
        """Return how many ids lie behind a read that was cut off, foreign ones not counted."""
        if not rows.cut or not rows.rows:
            return 0
        highest = self._clients.source.highest_id()
        return max(0, min(highest, highest if rows.last_given is None else rows.last_given) - rows.rows[-1].id)


def _owns_lease(control: Control) -> bool:
    """Ask for the lease. Without the platform database the answer is yes: Kafka's fence decides."""
    try:
        return control.owns_lease()
    except Unavailable:
        return True


def _wait_for_the_lease(control: Control, supervision: Supervision) -> None:
    """Find out, after a later relay has fenced this one, whether that was in order. Raises Superseded when it was.

    Without the platform database nobody knows: a relay that went on would fence the other in its turn, for ever.
    """
    pause = supervision.failed(Unavailable("Another relay has begun."))
    while not control.wait(pause):
        try:
            if control.owns_lease():
                return
            break
        except Unavailable as error:
            pause = supervision.failed(error)
    raise Superseded("Another run has taken over.")


def backlog(settings: Settings) -> int:
    """Return how many ids the source has above the last checkpoint. Raises EngagementError."""
    with open_checkpoints(settings) as kept, open_source(origin_of(settings)) as source:
        last = kept.last()
        return max(0, source.highest_given() - (last.highest_numbered if last else 0))


def _require_lease(control: Control) -> None:
    if not _owns_lease(control):
        raise Superseded("Another run has taken over.")


def now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000
