"""The forms that a stream's messages have had: each has a number, which stands in the header of its messages.

Every operation raises Unavailable when the database does not answer, and connects anew the next time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.columns import Schema, decoded, encoded
from engagement_platform.domain.errors import StreamStopped

_SQL = sql.load(__package__, "schemas.sql")


@dataclass(frozen=True, slots=True)
class NumberedSchema:
    """A form of the messages with its number."""

    number: int
    schema: Schema
    noted_at: datetime


class Schemas(Store):
    """The table of forms. A form has one number for ever, and a later form a higher one."""

    def latest(self) -> NumberedSchema | None:
        """Return the form with the highest number; None before the first."""
        row = self.session.one(_SQL["latest"])
        return None if row is None else _numbered(row)

    def all(self) -> list[NumberedSchema]:
        """Return every form, in the order of the numbers."""
        return [_numbered(row) for row in self.session.all(_SQL["all"])]

    def numbered(self, number: int) -> Schema | None:
        """Return the form of a number; None where it was never noted. Raises StreamStopped for one of a later version.

        What is returned for a number never changes, so it may be kept.
        """
        row = self.session.one(_SQL["numbered"], number=number)
        return None if row is None else _numbered(row).schema

    def note(
        self,
        schema: Schema,
        require: Callable[[Sequence[NumberedSchema]], object] = lambda _: None,
        *,
        at_least: int = 1,
    ) -> int:
        """Return the number of a form, which gets the next one when it is new, and `at_least` this one.

        `require` gets the forms that there are, and raises where this one may not be the next: until it is noted no
        other process notes one. Safe in any number of processes.
        """
        with self.session.transaction():
            self.session.execute(_SQL["noting"])
            require(self.all())
            (row,) = self.session.all(_SQL["note"], hash=schema.hash, form=encoded(schema), at_least=at_least)
        return int(row["number"])


def _numbered(row: Mapping[str, Any]) -> NumberedSchema:
    try:
        return NumberedSchema(row["number"], decoded(row["form"]), row["noted_at"])
    except (ValueError, KeyError) as error:
        raise StreamStopped(
            f"The form of messages with number {row['number']} is of a later version of the platform.",
            "Start this process with that version, or a later one.",
        ) from error
