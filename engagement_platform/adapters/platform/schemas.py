"""The forms that a stream's messages have had: each has a number, which stands in the header of its messages."""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.columns import Schema, decoded, encoded
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.schema_history import Numbered

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "schemas.sql")
_NOTHING: Numbered = MappingProxyType({})


class Schemas(Store):
    """The table of forms. A form has one number for ever, and a later form a higher one."""

    def all(self) -> dict[int, Schema]:
        """Return every form, in the order of the numbers. Raises StreamStopped for one of a later version."""
        return {row["number"]: _decoded(row) for row in self.session.all(_SQL["all"])}

    def note(
        self,
        schema: Schema,
        require: Callable[[Numbered], object] = lambda _: None,
        *,
        at_least: int = 1,
        published: Numbered = _NOTHING,
    ) -> int:
        """Return the number of a form, which gets the next one when it is new, and `at_least` this one.

        `require` gets the forms that there are, and raises where this one may not be the next: until it is noted no
        other process notes one. `published` are forms that messages have had: those that the table has lost are put
        back before. Safe in any number of processes.
        """
        with self.session.transaction():
            self.session.execute(_SQL["noting"])
            self._put_back(published)
            require(self.all())
            (row,) = self.session.all(_SQL["note"], hash=schema.hash, form=encoded(schema), at_least=at_least)
        return int(row["number"])

    def put_back(self, published: Numbered) -> None:
        """Enter again, each under its number, the forms that the table has lost. What it has stays as it is."""
        with self.session.transaction():
            self.session.execute(_SQL["noting"])
            self._put_back(published)

    def _put_back(self, published: Numbered) -> None:
        if not published:
            return
        forms = published.values()
        rows = self.session.all(
            _SQL["put_back"],
            numbers=list(published),
            hashes=[schema.hash for schema in forms],
            forms=[encoded(schema) for schema in forms],
        )
        if rows:
            numbers = ", ".join(str(number) for number in sorted(row["number"] for row in rows))
            log.warning("The platform database had lost what schema %s is: it has it again.", numbers)


def _decoded(row: Mapping[str, Any]) -> Schema:
    try:
        return decoded(row["form"])
    except (ValueError, KeyError) as error:
        raise StreamStopped(
            f"The form of messages with number {row['number']} is of a later version of the platform.",
            "Start this process with that version, or a later one.",
        ) from error
