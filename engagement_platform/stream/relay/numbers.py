"""Knows the number of the schema that the relay publishes, also while the platform database is away."""

import logging

from engagement_platform.domain.checkpoint import Checkpoint, MessageSchema
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import number_now

log = logging.getLogger("engagement_platform.relay")


class Numbers:
    """The numbers that a relay has met: in its checkpoint, or in the platform database.

    A number means one schema for ever. So a schema whose number is known needs nobody, and the stream stands still for
    a platform database that is away only when the schema is a new one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, int] = {}
        self._kept: dict[str, MessageSchema] = {}
        """What the platform database has, as this process saw."""
        self._highest = 0
        self._in_use = ""
        """The hash of the schema that messages have."""

    def take_up(self, last: Checkpoint) -> None:
        """Take note of the schema that a checkpoint names."""
        self._highest = max(self._highest, last.schemas)
        if last.schema:
            self._known[last.schema_hash] = last.schema
            self._in_use = last.schema_hash

    def of(self, schema: Schema) -> MessageSchema:
        """Return the number of a schema, kept before this returns.

        Where the platform database knows less than the checkpoint, as when an earlier copy of it was put back, the
        schema is entered there anew. Raises StreamStopped where readers could not follow, and Unavailable where it is a
        new one and the database is away.
        """
        messages = self._of(schema)
        self._in_use = schema.hash
        return messages

    def _of(self, schema: Schema) -> MessageSchema:
        if kept := self._kept.get(schema.hash):
            return kept._replace(highest=self._highest)
        known = self._known.get(schema.hash)
        try:
            at_least = known or self._highest + 1
            number = number_now(self._settings, schema, at_least=at_least, in_use=self._in_use)
        except Unavailable as error:
            if known is None:
                raise Unavailable(
                    f"Events have new columns, which need a number before the first of them: {error.what}",
                    error.todo,
                    server=error.server,
                ) from error
            return MessageSchema(known, schema.hash, self._highest)
        if number != known:
            log.info("messages have the schema %d: %s", number, ", ".join(schema.names))
        self._highest = max(self._highest, number)
        self._kept[schema.hash] = MessageSchema(number, schema.hash, self._highest)
        return self._kept[schema.hash]
