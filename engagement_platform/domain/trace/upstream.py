"""The verdicts on source and topic: whether the event was committed, and published."""

from engagement_platform.domain.trace.facts import Facts, InKafka, InSource, InWarehouse, Message, Relayed, Row, Unread
from engagement_platform.domain.trace.rows import differing
from engagement_platform.domain.trace.trace import Mark, Place, Said, Step, said


def in_source(facts: Facts) -> Step:
    """Say whether the source has the row, or why not."""
    if isinstance(facts.source, Unread):
        return Step(Place.SOURCE, Mark.UNKNOWN, said("unread", reason=facts.source.reason))
    row = facts.source.row
    if row is not None:
        notes = (*_key(row), *_changed(row, facts.message))
        if row.time is None:
            return Step(Place.SOURCE, Mark.THERE, said("source.timeless"), notes=notes)
        return Step(Place.SOURCE, Mark.THERE, said("source.present", time=row.time), row.time, notes)
    mark, why = _why_absent(facts, facts.source)
    return Step(Place.SOURCE, mark, why)


def _why_absent(facts: Facts, source: InSource) -> tuple[Mark, Said]:
    if _was_published(facts):
        return Mark.NOT_THERE, said("source.deleted")
    if source.given is not None and facts.event_id > source.given:
        return Mark.NOT_THERE, said("source.not_given", given=source.given)
    if isinstance(facts.relay, Unread):
        return Mark.NOT_THERE, said("source.absent")
    if not facts.is_published:
        return Mark.WAITS, said("source.open" if facts.event_id > facts.relay.covered.hi else "source.gap")
    is_sure = _is_absence_sure(facts)
    if is_sure and facts.relay.began is not None and is_before(facts, facts.relay):
        return Mark.NOT_THERE, said("source.before", began_at=facts.relay.began.hi)
    return Mark.NOT_THERE, said("source.rolled_back" if is_sure else "source.gone")


def _was_published(facts: Facts) -> bool:
    """Say whether anything shows that there was such a row."""
    has_row = isinstance(facts.warehouse, InWarehouse) and facts.warehouse.has_row is True
    has_tries = not isinstance(facts.partner, Unread) and bool(facts.partner.tries)
    return facts.message is not None or has_row or has_tries or bool(facts.letters_of("relay"))


def _is_absence_sure(facts: Facts) -> bool:
    """Say whether the topic would have the event, had it been published."""
    return isinstance(facts.kafka, InKafka) and facts.kafka.is_complete and not facts.kafka.is_expired


def was_never_published(facts: Facts) -> bool:
    """Say whether it is known that no message was ever made of the event."""
    if facts.message is not None:
        return False
    if isinstance(facts.relay, Relayed) and not facts.is_published:
        return True
    if facts.letters_of("relay"):
        return True
    return isinstance(facts.source, InSource) and facts.row is None and _is_absence_sure(facts)


def is_before(facts: Facts, relay: Relayed) -> bool:
    """Say whether the event lies before the first that is noted of the relay.

    The stream began behind it, or the notes are younger than the stream: the platform's database was lost once, or did
    not keep them yet. The topic tells which, where it has still all of that time.
    """
    return relay.began is not None and relay.began.covers(facts.event_id)


def _key(row: Row) -> tuple[Said, ...]:
    return () if row.key is None else (said("source.key", content=row.key),)


def _changed(row: Row, message: Message | None) -> tuple[Said, ...]:
    if message is None or row.value is None:
        return ()
    names = differing(row.value, message.value)
    return (said("source.changed", columns=", ".join(names)),) if names else ()


def in_kafka(facts: Facts) -> Step:
    """Say where in the topic the event is, or why not."""
    if facts.message is not None:
        return _there(facts.message)
    if isinstance(facts.relay, Relayed) and (step := _by_the_relay(facts, facts.relay)) is not None:
        return step
    if isinstance(facts.kafka, Unread):
        return Step(Place.KAFKA, Mark.UNKNOWN, said("unread", reason=facts.kafka.reason))
    return _not_found(facts, facts.kafka)


def _by_the_relay(facts: Facts, relay: Relayed) -> Step | None:
    """Say why the relay has not published the event; None where it has, or nothing tells."""
    if letters := facts.letters_of("relay"):
        return Step(Place.KAFKA, Mark.NOT_THERE, said("kafka.letter", reason=letters[-1].content.reason))
    if not facts.is_published:
        if isinstance(facts.source, InSource) and facts.row is None:
            return Step(Place.KAFKA, Mark.NOT_THERE, said("kafka.nothing"))
        return Step(Place.KAFKA, Mark.WAITS, said("kafka.waits", hi=relay.covered.hi))
    if relay.began is not None and is_before(facts, relay):
        if _is_absence_sure(facts):
            return Step(Place.KAFKA, Mark.NOT_THERE, said("kafka.before", began_at=relay.began.hi))
        return Step(Place.KAFKA, Mark.UNKNOWN, said("kafka.unnoted", at=relay.noted_at or "?"))
    return None


def _there(message: Message) -> Step:
    notes = []
    if message.unseen_at is not None:
        latency = (message.arrived - message.unseen_at).total_seconds()
        notes.append(said("kafka.latency", milliseconds=f"{latency * 1_000:,.0f}"))
    notes.append(said("kafka.schema", number=message.schema or "1", bytes=message.size))
    where = said("kafka.there", partition=message.partition, offset=message.offset, arrived=message.arrived)
    return Step(Place.KAFKA, Mark.THERE, where, message.arrived, tuple(notes))


def _not_found(facts: Facts, kafka: InKafka) -> Step:
    when = {"since": kafka.since or "?", "until": kafka.until or "?"}
    if kafka.is_expired and kafka.oldest is None:
        return Step(Place.KAFKA, Mark.UNKNOWN, said("kafka.empty", **when))
    if kafka.is_expired:
        return Step(Place.KAFKA, Mark.UNKNOWN, said("kafka.expired", oldest=kafka.oldest, **when))
    if not kafka.is_complete:
        return Step(Place.KAFKA, Mark.UNKNOWN, said("kafka.not_found", looked_at=kafka.looked_at, **when))
    if isinstance(facts.source, InSource) and facts.row is None:
        return Step(Place.KAFKA, Mark.NOT_THERE, said("kafka.nothing"))
    return Step(Place.KAFKA, Mark.NOT_THERE, said("kafka.missing", looked_at=kafka.looked_at, **when))
