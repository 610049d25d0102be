"""Looks at what surrounds the source's tables and costs or endangers the stream, as `doctor` tells it."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.doubled import Doubled, doubled
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain.source_tables import Sight, faults

_SQL = sql.load(__package__, "surroundings.sql")
"""Longer than the statement_timeout of the session, so that a server that lives says why it took so long."""


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
    with (
        closing(
            session.connect(origin.dsn, "doctor", patience=session.LOOKUP_SECONDS, prepare=_SQL["prepare_session"])
        ) as source,
        session.reaching(origin),
    ):
        stream = origin.stream
        return Surroundings(
            role=source.info.user,
            sees_locks=_is(source, _SQL["sees_locks"]),
            has_index=(
                _is(source, origin.plain(_SQL["has_index_on_time"])) if stream.source.name in sight.tables else None
            ),
            doubled=(
                ()
                if faults(sight, stream.tables)
                else tuple(doubled(origin, lambda statement: source.execute(statement.encode())))
            ),
        )


def _is(connection: psycopg.Connection[Any], statement: str) -> bool:
    row = connection.execute(statement.encode()).fetchone()
    return row is not None and bool(row[0])
