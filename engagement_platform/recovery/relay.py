"""What an operator does when the relay has stopped: take up the copied checkpoint, or set a new one.

Both shut out a relay that runs; it then reads the checkpoint written here and goes on from it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from engagement_platform.adapters.kafka.checkpoints import key, open_checkpoints
from engagement_platform.adapters.kafka.producer import Fenced, FencedProducer, Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics, topic_configuration
from engagement_platform.adapters.platform import mirror
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import Source, open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain import marks as marking
from engagement_platform.domain.checkpoint import Checkpoint, MessageSchema
from engagement_platform.domain.errors import EngagementError, StreamStopped
from engagement_platform.domain.ids import IdRange, merged
from engagement_platform.domain.ledger import Ledger, begin
from engagement_platform.settings import Settings
from engagement_platform.stream.relay.clients import limits_of
from engagement_platform.stream.relay.publisher import now
from engagement_platform.stream.relay.source_watch import MAX_FOREIGN_RANGES, SourceWatch, begin_at, rows_replaced

_SMALL_MESSAGES = 1 << 20


def show(settings: Settings) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Return the relay's checkpoint in Kafka, and its copy in the platform database.

    Raises Unavailable, and StreamStopped when either cannot be read.
    """
    ensure_topics(settings)
    with open_checkpoints(settings) as topic:
        return topic.last(), mirror.read(settings)


def restore(settings: Settings) -> Checkpoint:
    """Write the copied checkpoint to the topic, and return it.

    Events that the relay published after the copy was made, at most a second of them, are published again.
    """
    copy = mirror.read(settings)
    if copy is None:
        raise EngagementError(
            "The platform database has no copy of the checkpoint.", f"Start anew with: {checkpoints.RESET}"
        )
    _write(settings, copy)
    return copy


def reset(settings: Settings, at: str) -> Checkpoint:
    """Begin anew at `latest`, `earliest` or an id, on the source as it is now; return the new checkpoint.

    Above `earliest` the ids that are still open are kept, as at a first start. What lies between the old and the new
    place is published twice or not at all: rebuild those days. What rebuilds have seen above the source's highest id is
    taken back, since a restored source gives those ids to other events; where the ids are known to stand for other
    events already, all that they have seen above the new place.
    """
    ensure_topics(settings)
    with open_source(origin_of(settings)) as source:
        highest = source.highest_given()
        ledger = begin_at(source, _place(at, source), settings.relay.start_lookback_ids)
        watch = SourceWatch(source, _limits(settings), source.identity)
        is_same = _has_published_rows(settings, source)
        checkpoint = _anew(settings, watch, ledger)
    _write(settings, checkpoint)
    ensure_schema(settings)
    mirror.replace(settings, checkpoint)
    with Rebuilds.opened(settings, "reset") as rebuilds:
        rebuilds.uncover(highest if is_same else min(highest, ledger.hi))
    return checkpoint


def _has_published_rows(settings: Settings, source: Source) -> bool:
    """Say whether the source's ids still mean what they meant to the last checkpoint, as far as that can be told."""
    try:
        last, _ = show(settings)
        if last is None:
            return False
        checkpoints.require_same_source(last, source.identity, source.highest_given(), source.table)
        return not _watch(settings, source, last).compare().others
    except StreamStopped:
        return False


def _watch(settings: Settings, source: Source, last: Checkpoint) -> SourceWatch:
    return SourceWatch(
        source,
        _limits(settings),
        source.identity,
        marks=checkpoints.marks_of(last),
        marked_by=last.marked_by,
        schema_hash=last.schema_hash,
    )


def _limits(settings: Settings) -> Limits:
    return limits_of(settings, int(topic_configuration(settings.kafka, settings.topics.events)["max.message.bytes"]))


def adopt(settings: Settings, *, force: bool = False) -> Checkpoint:
    """Go on at the same id with the source as it is now: another table, sequence or server with the same rows.

    The ids that are not visible stay open where the sequence, as it is now, may still give them. Raises EngagementError
    when there is no checkpoint, and unless `force` is set when published ids belong to other rows, or nobody knows
    which of the rows are gone.
    """
    ensure_topics(settings)
    with open_source(origin_of(settings)) as source, _fenced(settings) as producer:
        with open_checkpoints(settings) as topic:
            last = topic.last()
        if last is None:
            raise EngagementError("There is no checkpoint to go on from.", f"Begin anew with: {checkpoints.RESET}")
        watch = _watch(settings, source, last)
        verdict = watch.compare()
        if not (verdict.is_harmless or force):
            raise rows_replaced(verdict)
        gone = (IdRange(one, one) for one in verdict.gone if one <= last.hi)  # they may be given once more
        missing = merged((*checkpoints.missing_ranges(last), *_yet_to_be_given(source, last.hi), *gone))
        given = source.last_given()
        checkpoint = _anew(settings, watch, begin(last.hi, missing, source.holders(), given))
        producer.commit([_record(settings, checkpoint)])
    ensure_schema(settings)
    mirror.replace(settings, checkpoint)
    return checkpoint


def _yet_to_be_given(source: Source, hi: int) -> tuple[IdRange, ...]:
    """Return the ids up to `hi` that are not visible and that the sequence has not given."""
    given = source.last_given()
    return () if given is None or given >= hi else source.holes_between(given, hi, MAX_FOREIGN_RANGES)


def _anew(settings: Settings, watch: SourceWatch, ledger: Ledger) -> Checkpoint:
    watch.remark(ledger)
    return checkpoints.of(
        ledger,
        watch.identity,
        now(),
        _next_generation(settings),
        numbered=watch.numbered,
        marks=marking.encode(watch.marks),
        marked_by=watch.marked_by,
        schema=_messages(settings),
    )


def _messages(settings: Settings) -> MessageSchema:
    """Return which schema messages have by the present checkpoint, or by its copy where that cannot be read.

    What is marked by another schema of the source is marked anew by the relay that goes on.
    """
    told: list[Checkpoint] = []
    with suppress(StreamStopped), open_checkpoints(settings) as topic:
        told += [last] if (last := topic.last()) else []
    with suppress(StreamStopped):
        told += [copy] if (copy := mirror.read(settings)) else []
    return checkpoints.joined_messages(told)


def _next_generation(settings: Settings) -> int:
    """Return one above all that was, so that a relay that still runs cannot put the copy back."""
    try:
        present = show(settings)
    except StreamStopped:
        # Nobody can tell what the unreadable one was. The time in seconds is above all that have counted resets from
        # 0, and above every earlier one that came from here.
        return int(time.time())
    return 1 + max((one.generation for one in present if one is not None), default=-1)


def _place(at: str, source: Source) -> int:
    if at in {"latest", "earliest"}:
        return source.highest_id() if at == "latest" else source.before_all()
    if not at.isdecimal():
        raise EngagementError(f"The place {at!r} is none.", "Name latest, earliest or an id.")
    return int(at)


def _write(settings: Settings, checkpoint: Checkpoint) -> None:
    """Write the checkpoint in place of what was. Raises EngagementError when a relay begins at the same moment."""
    ensure_topics(settings)
    with _fenced(settings) as producer:
        producer.commit([_record(settings, checkpoint)])


def _record(settings: Settings, checkpoint: Checkpoint) -> Message:
    return Message(settings.topics.checkpoint, key(settings), checkpoints.to_bytes(checkpoint))


@contextmanager
def _fenced(settings: Settings) -> Iterator[FencedProducer]:
    """Shut out whatever relay runs; what is committed in the block is then its checkpoint."""
    try:
        with open_producer(settings, _SMALL_MESSAGES) as producer:
            producer.fence()
            yield producer
    except Fenced as error:
        raise EngagementError(
            "A relay took over at the same moment, so the checkpoint was not written.", "Run the command again."
        ) from error
