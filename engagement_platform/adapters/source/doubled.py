"""Which rows of joined tables would make the enrichment return an event several times.

`stream.toml` says by which columns tables are joined (`unique`). Where it does not, an event that comes twice is
noticed all the same, and only the cause is not named.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from engagement_platform.adapters import sql
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.sql import identifier
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream

_SQL = sql.load(__package__, "doubled.sql")


class Doubled(NamedTuple):
    """A value under which a joined table has several rows."""

    table: str
    column: str
    value: str

    def __str__(self) -> str:
        """Say it for people."""
        return f"{self.table} has several rows with {self.column} {self.value}"

    @property
    def remedy(self) -> str:
        """What to ask of the owner."""
        return f"Ask the owner to make {self.table}.{self.column} unique."


def doubled(origin: Origin, rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> Iterator[Doubled]:
    """Yield for each table that is joined one value with several rows; `rows` executes a statement.

    Nothing is read of a table for which a unique index vouches.
    """
    for table, columns in origin.stream.tables.items():
        for column in columns:
            if column.unique and table != origin.stream.source.name:
                names = {"joined": table, "joined_name": sql.text(table), "by": identifier(column.name)}
                statement = sql.filled(_SQL["doubled"], names | {"by_name": sql.text(column.name)})
                yield from (Doubled(table, column.name, value) for (value,) in rows(statement))


def require_single(origin: Origin, rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> None:
    """Raise EngagementError where a joined table would double events."""
    for one in doubled(origin, rows):
        raise EngagementError(f"{one}: each of its events would be there more than once.", one.remedy)


def brought_twice(stream: EventStream, event_id: int) -> EngagementError:
    """Return what to tell when the enrichment returns an event more than once."""
    return EngagementError(
        f"enriched.sql of the stream {stream.name} brings event {event_id} more than once: it would be there as often.",
        f"Either {stream.source.name} has several rows with that {stream.source.id}, or a join finds several rows for "
        "one event: join by what is unique, or ask the owner to make it so.",
    )
