"""Gives the schemas of a stream their numbers, which are kept in the platform database.

A number is kept before the first message that has it, and for ever: so whoever reads a message finds its schema. The
relay's checkpoint has them, too, in the transaction of the messages: what the platform database has lost is put back
from there by whoever misses it.
"""

from collections.abc import Sequence, Set

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.connection import NoTable
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.schemas import Schemas
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.checkpoint import MessageSchema, messages_of, schemas_of
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.schema_history import Numbered, Refusal, SchemaHistory, change, takes_all
from engagement_platform.settings import Settings


def published(settings: Settings) -> MessageSchema:
    """Return which schema messages have, and have had, as the relay's checkpoint tells. Raises Unavailable."""
    ensure_topics(settings)
    with open_checkpoints(settings) as checkpoints:
        last = checkpoints.last()
    return MessageSchema() if last is None else messages_of(last)


def note(settings: Settings, schema: Schema, messages: MessageSchema) -> SchemaHistory:
    """Return all numbered schemas with this one among them, under the next number where it is new.

    What the platform database has lost of those that messages have had is put back before, and its tables are made
    where they lack. Raises StreamStopped where readers could not follow the schema, and Unavailable.
    """
    with Schemas.opened(settings, "schemas") as store:
        try:
            return _noted(store, stream_of(settings), schema, messages)
        except NoTable:
            ensure_schema(settings)
        return _noted(store, stream_of(settings), schema, messages)


def _noted(store: Schemas, stream: EventStream, schema: Schema, messages: MessageSchema) -> SchemaHistory:
    def require_compatible(kept: Numbered) -> None:
        refusals = change(SchemaHistory(kept), schema, takes_all=takes_all(stream), in_use=messages.hash).refusals
        if refusals:
            raise _refused(stream, refusals)

    at_least = messages.number if messages.hash == schema.hash else messages.highest + 1
    store.note(schema, require_compatible, at_least=at_least, published=schemas_of(messages))
    return SchemaHistory(store.all())


def _refused(stream: EventStream, refusals: Sequence[Refusal]) -> StreamStopped:
    return StreamStopped(
        f"The stream {stream.name} cannot go on with the columns that enriched.sql has over the source now: "
        f"{'; '.join(one.what for one in refusals)}. Nothing of that form was published.",
        f"In that order: {'; '.join(dict.fromkeys(one.todo for one in refusals))}. Or ask the source's owner to undo"
        " the change. The stream then goes on by itself from where it was.",
    )


def number_now(settings: Settings, schema: Schema) -> int:
    """Return the number of a schema that the source has now, as `note` gives it. Raises what that does."""
    number = note(settings, schema, published(settings)).number_of(schema)
    assert number is not None, "it was noted"  # noqa: S101
    return number


def history_of(settings: Settings) -> SchemaHistory:
    """Return all schemas that the stream's messages have had, at least one.

    Where the platform database has none, it gets those of the relay's checkpoint, and else that of the source. Raises
    Unavailable, and StreamStopped where `enriched.sql` cannot be used.
    """
    with Schemas.opened(settings, "schemas") as store:
        try:
            history = SchemaHistory(store.all())
        except NoTable:
            ensure_schema(settings)
            history = SchemaHistory(store.all())
    if history.numbered:
        return history
    history, messages = history_put_back(settings)
    return history if history.numbered else note(settings, schema_now(origin_of(settings)), messages)


def history_put_back(settings: Settings) -> tuple[SchemaHistory, MessageSchema]:
    """Put back what the platform database has lost of the schemas that messages have had; return all, and those.

    Raises Unavailable.
    """
    messages = published(settings)
    numbered = schemas_of(messages)
    with Schemas.opened(settings, "schemas") as store:
        store.put_back(numbered)
        return SchemaHistory({**numbered, **store.all()}), messages


def history_at_hand(settings: Settings, numbers: Set[int] = frozenset()) -> SchemaHistory:
    """Return what `history_of` does; while the platform database is away, the schemas of the relay's checkpoint.

    Those are all that messages of the stream's own topic have. Raises Unavailable where it has none, or not all of
    these numbers: a replay may have been given one.
    """
    try:
        return history_of(settings)
    except Unavailable:
        numbered = schemas_of(published(settings))
        if not numbered or numbers - numbered.keys():
            raise
        return SchemaHistory(numbered)
