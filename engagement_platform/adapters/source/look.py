"""Looks at what the source's ids come from: server, table, sequence. Cheap enough for once a second."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.doubled import Doubled, doubled
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain.checkpoint import SourceIdentity
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.source_tables import Sight, faults
from engagement_platform.domain.stream_form import SourceTable

SQL = sql.load(__package__, "look.sql")
UNCHANGED = SQL["unchanged"]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw."""

    identity: SourceIdentity
    sequence_name: str
    """As SQL names it in this session, quoted where it must be."""
    sees_sequence: bool
    """Whether the role may ask the sequence which id it gave last."""
    id_column: int
    id_default: int | None

    @property
    def marks_of_change(self) -> dict[str, int | None]:
        """The parameters of `UNCHANGED`."""
        return {
            "table": self.identity.table,
            "sequence": self.identity.sequence,
            "sequence_storage": self.identity.sequence_storage,
            "id_column": self.id_column,
            "id_default": self.id_default,
        }

    @property
    def last_given(self) -> str:
        """The expression for the id that the sequence gave last; NULL where the role may not see it."""
        if not self.sees_sequence:
            return "NULL::bigint"
        return SQL["last_given"].replace("{sequence}", self.sequence_name.replace("%", "%%"))


def look(origin: Origin, connection: psycopg.Connection[Any]) -> Look:
    """Look at the source. Raises psycopg.Error, Unavailable, and StreamStopped when polling it cannot be exact."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        seen: Any = cursor.execute(origin.plain(SQL["look"]).encode(), prepare=True).fetchone()
    assert seen is not None, "the look always returns one row"  # noqa: S101
    if seen.is_replica:
        raise StreamStopped(
            "The source is a replica: it does not show which transactions are still open.",
            "Let ENGAGEMENT_SOURCE_DSN name the primary.",
        )
    if seen.table is None:
        raise session.changed()  # the next connection says what is missing
    _require_usable(seen, origin.stream.source)
    return Look(
        SourceIdentity(**{name: getattr(seen, name) for name in SourceIdentity.__struct_fields__}),
        seen.sequence_name,
        seen.sees_sequence,
        seen.id_column,
        seen.id_default,
    )


def _require_usable(seen: Any, source: SourceTable) -> None:
    """Raise StreamStopped when ids can appear in an order that nobody can follow."""
    if seen.sequences != 1:
        raise StreamStopped(
            f"The column {source.name}.{source.id} has no sequence of its own."
            if not seen.sequences
            else f"The column {source.name}.{source.id} has {seen.sequences} sequences.",
            "It must be BIGSERIAL or an identity column: its default must take the ids from one sequence.",
        )
    if seen.cache != 1 or seen.increment < 1 or seen.cycles:
        raise StreamStopped(
            f"The sequence {seen.sequence_name} has CACHE {seen.cache}, INCREMENT {seen.increment}"
            f"{', CYCLE' if seen.cycles else ''}: ids can then appear in an order that no polling can follow.",
            f"Ask the owner to run: ALTER SEQUENCE {seen.sequence_name} CACHE 1 INCREMENT 1 NO CYCLE",
        )


def require_followed(origin: Origin) -> None:
    """Raise StreamStopped when polling the stream's table cannot be exact; else what `session.connect` raises."""
    with closing(session.connect_for_lookups(origin.dsn, "stream")) as connection, session.reaching(origin):
        look(origin, connection)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was seen."""

    role: str
    sees_locks: bool
    """Without it the relay could not tell which ids are still to come."""
    has_index: bool | None
    """Whether an index begins with the time of the events; None when their table is not in sight."""
    doubled: tuple[Doubled, ...]
    """Rows of joined tables with which a read would bring an event several times."""


def look_around(origin: Origin, sight: Sight) -> Surroundings:
    """Look at what surrounds the tables, as far as they are in sight. Raises Refused, Unavailable."""
    stream = origin.stream
    with closing(session.connect_for_lookups(origin.dsn, "doctor")) as source, session.reaching(origin):
        return Surroundings(
            role=source.info.user,
            sees_locks=_is(source, SQL["sees_locks"]),
            has_index=has_index(origin, source) if stream.source.name in sight.tables else None,
            doubled=(
                ()
                if faults(sight, stream.tables)
                else tuple(doubled(origin, lambda statement: source.execute(statement.encode())))
            ),
        )


def has_index(origin: Origin, connection: psycopg.Connection[Any]) -> bool:
    """Say whether a day can be read without a scan of the table."""
    return _is(connection, origin.plain(SQL["has_index"]))


def _is(connection: psycopg.Connection[Any], statement: str) -> bool:
    row = connection.execute(statement.encode()).fetchone()
    return row is not None and bool(row[0])
