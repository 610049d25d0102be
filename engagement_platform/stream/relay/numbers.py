"""Knows the number of the schema that the relay publishes, also while the platform database is away."""

import logging

from engagement_platform.domain.checkpoint import Checkpoint, MessageSchema, messages_of, schemas_of
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.schema_history import SchemaHistory, keep
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import note

log = logging.getLogger("engagement_platform.relay")


class Numbers:
    """The numbers that a relay has met: in its checkpoint, or in the platform database.

    A number means one schema for ever. So a schema whose number is known needs nobody, and the stream stands still for
    a platform database that is away only when the schema is a new one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._messages = MessageSchema()
        self._history = SchemaHistory({})
        self._noted: set[Schema] = set()
        """What the platform database has, as this process saw."""

    def take_up(self, last: Checkpoint) -> None:
        """Take note of the schemas that a checkpoint names. Raises StreamStopped for one of a later version."""
        self._messages = messages_of(last)
        self._history = SchemaHistory(schemas_of(self._messages))

    def of(self, schema: Schema) -> MessageSchema:
        """Return the number of a schema, kept before this returns, with all that the checkpoint says of schemas.

        Where the platform database knows less than the checkpoint, as when an earlier copy of it was put back, what it
        lacks is entered there anew. Raises StreamStopped where readers could not follow, and Unavailable where it is a
        new one and the database is away.
        """
        if schema not in self._noted:
            self._history = SchemaHistory({**self._history.numbered, **self._noted_with(schema).numbered})
        number = self._number_of(schema)
        assert number is not None, "it is among them"  # noqa: S101
        if number != self._messages.number:
            log.info("messages have the schema %d: %s", number, ", ".join(schema.names))
        highest = max(self._messages.highest, number)
        self._messages = MessageSchema(number, schema.hash, highest, keep(self._history.numbered))
        return self._messages

    def _number_of(self, schema: Schema) -> int | None:
        """Return the number of a schema, as the platform database has it where that was asked; None for a new one."""
        number = self._history.number_of(schema)
        return self._messages.number if number is None and self._messages.hash == schema.hash else number

    def _noted_with(self, schema: Schema) -> SchemaHistory:
        try:
            history = note(self._settings, schema, self._messages)
        except Unavailable as error:
            number = self._number_of(schema)
            if number is None:
                raise Unavailable(
                    f"Events have new columns, which need a number before the first of them: {error.what}",
                    error.todo,
                    server=error.server,
                ) from error
            return SchemaHistory({number: schema})
        self._noted.add(schema)
        return history
