"""Gives the schemas of a stream their numbers, which are kept in the platform database.

A number is kept before the first message that has it, and for ever: so whoever reads a message finds its schema.
"""

from collections.abc import Sequence

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.connection import NoTable
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.schemas import NumberedSchema, Schemas
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.schema_history import Refusal, SchemaHistory, change, takes_all
from engagement_platform.settings import Settings


def number_of(store: Schemas, stream: EventStream, schema: Schema, *, at_least: int = 1, in_use: str = "") -> int:
    """Return the number of a schema, which is kept under the next one where it is new.

    `at_least` is the lowest that it may have: the store may not know all that messages had before. `in_use` is the hash
    of the schema that messages have. Raises StreamStopped where readers could not follow, and Unavailable.
    """

    def require_compatible(kept: Sequence[NumberedSchema]) -> None:
        refusals = change(_history(kept), schema, takes_all=takes_all(stream), in_use=in_use).refusals
        if refusals:
            raise _refused(stream, refusals)

    return store.note(schema, require_compatible, at_least=at_least)


def _refused(stream: EventStream, refusals: Sequence[Refusal]) -> StreamStopped:
    return StreamStopped(
        f"The stream {stream.name} cannot go on with the columns that enriched.sql has over the source now: "
        f"{'; '.join(one.what for one in refusals)}. Nothing of that form was published.",
        f"In that order: {'; '.join(dict.fromkeys(one.todo for one in refusals))}. Or ask the source's owner to undo"
        " the change. The stream then goes on by itself from where it was.",
    )


def _history(kept: Sequence[NumberedSchema]) -> SchemaHistory:
    return SchemaHistory({one.number: one.schema for one in kept})


def history_of(settings: Settings) -> SchemaHistory:
    """Return all schemas that the stream's messages have had, at least one.

    Where none is kept yet, that of the source is, as number 1, or as the one that the relay's checkpoint tells. Raises
    Unavailable, and StreamStopped where `enriched.sql` cannot be used.
    """
    with Schemas.opened(settings, "schemas") as store:
        try:
            history = _history(store.all())
        except NoTable:
            ensure_schema(settings)
            history = _history(store.all())
        if history.numbered:
            return history
        schema = schema_now(origin_of(settings))
        at_least, _ = _published(settings, schema)
        number_of(store, stream_of(settings), schema, at_least=at_least)
        return _history(store.all())


def _published(settings: Settings, schema: Schema) -> tuple[int, str]:
    """Return the number that messages of a schema have, or a new one, and the hash of the schema in use.

    As the relay's checkpoint tells: the platform database may have lost all.
    """
    ensure_topics(settings)
    with open_checkpoints(settings) as checkpoints:
        last = checkpoints.last()
    if last is None:
        return 1, ""
    return last.schema if last.schema_hash == schema.hash else last.schemas + 1, last.schema_hash


def number_now(settings: Settings, schema: Schema, *, at_least: int | None = None, in_use: str = "") -> int:
    """Return the number of a schema that the source has now, as `number_of` does. Makes the tables where they lack.

    Whoever does not know what messages have had leaves `at_least` and `in_use` out: the relay's checkpoint tells.
    """
    if at_least is None:
        at_least, in_use = _published(settings, schema)
    with Schemas.opened(settings, "schemas") as store:
        try:
            return number_of(store, stream_of(settings), schema, at_least=at_least, in_use=in_use)
        except NoTable:
            ensure_schema(settings)
        return number_of(store, stream_of(settings), schema, at_least=at_least, in_use=in_use)
