"""How a relay comes to own the stream: it fences its predecessor, and goes on from the checkpoint that one left."""

import logging

from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain.checkpoint import Checkpoint
from engagement_platform.domain.errors import Superseded, Unavailable
from engagement_platform.domain.ledger import NOBODY, begin
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control, require_lease
from engagement_platform.stream.rejection_limit import RejectionLimit
from engagement_platform.stream.relay.clients import Clients
from engagement_platform.stream.relay.numbers import Numbers
from engagement_platform.stream.relay.publisher import Publisher, now
from engagement_platform.stream.relay.relay import Relay
from engagement_platform.stream.relay.source_watch import SourceWatch, begin_at
from engagement_platform.stream.relay.unended import end_what_hangs
from engagement_platform.stream.supervisor import Supervision

log = logging.getLogger("engagement_platform.relay")


def take_over(clients: Clients, settings: Settings, control: Control, limit: RejectionLimit) -> Relay:
    """Fence the predecessor, end what Kafka left open of it, and go on from its last committed checkpoint.

    The lease is checked on both sides of the fence: a relay that lost it before would shut out its successor.
    """
    require_lease(control)
    clients.producer.fence()
    require_lease(control)
    end_what_hangs(clients, settings, control)
    last = clients.checkpoints.last()
    checkpoints.require_not_behind(last, clients.mirror.last(required=last is None))
    if last is None:
        return _first_start(clients, settings, control, limit)
    return _go_on(clients, settings, control, limit, last)


def _go_on(clients: Clients, settings: Settings, control: Control, limit: RejectionLimit, last: Checkpoint) -> Relay:
    clients.mirror.record(last)  # where this relay begins, should nobody have kept an earlier one
    source, schema = clients.source, clients.source.schema
    marks = checkpoints.marks_of(last)
    numbers = Numbers(settings)
    numbers.take_up(last)
    messages = numbers.of(schema)
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
    publisher = Publisher(
        settings, clients, watch, limit, messages, unseen_at=last.unseen_at, generation=last.generation
    )
    publisher.written = ledger
    if not watch.marks:
        watch.remark(ledger)
    if last.source != watch.identity or marks != watch.marks or checkpoints.messages_of(last) != messages:
        publisher.write_checkpoint(ledger)
    return Relay(clients, settings, control, watch, ledger, schema=schema, numbers=numbers, publisher=publisher)


def _first_start(clients: Clients, settings: Settings, control: Control, limit: RejectionLimit) -> Relay:
    started, schema = now(), clients.source.schema
    numbers = Numbers(settings)
    messages = numbers.of(schema)
    at = clients.source.highest_id() if settings.relay.start == "latest" else clients.source.before_all()
    watch = SourceWatch(clients.source, clients.limits, clients.source.identity)
    ledger = begin_at(clients.source, at, settings.relay.start_lookback_ids)
    watch.remark(ledger)
    publisher = Publisher(settings, clients, watch, limit, messages, unseen_at=started)
    publisher.write_checkpoint(ledger)
    log.info("first start at id %d, with %d ids below it that are not visible", ledger.hi, ledger.open_ids)
    return Relay(clients, settings, control, watch, ledger, schema=schema, numbers=numbers, publisher=publisher)


def wait_for_the_lease(control: Control, supervision: Supervision) -> None:
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
