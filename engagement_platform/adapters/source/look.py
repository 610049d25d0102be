"""Looks at what the source's ids come from: server, table, sequence. Cheap enough for once a second."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain.checkpoint import SourceIdentity
from engagement_platform.domain.errors import StreamStopped
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
        SourceIdentity(
            seen.system_identifier,
            seen.timeline,
            seen.database,
            table=seen.table,
            table_storage=seen.table_storage,
            sequence=seen.sequence,
            sequence_storage=seen.sequence_storage,
            started=seen.started,
        ),
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
    with (
        closing(session.connect(origin.dsn, "stream", patience=session.LOOKUP_SECONDS)) as connection,
        session.reaching(origin),
    ):
        look(origin, connection)
