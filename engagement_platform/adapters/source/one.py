"""Reads one event of the source, and how far its sequence has come."""

from contextlib import closing
from datetime import UTC
from typing import Any

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.look import look
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.trace.facts import InSource, Row

_SQL = sql.load(__package__, "one.sql")
_MAX_BYTES = 1 << 20


def look_up(origin: Origin, event_id: int) -> InSource:
    """Return what the source has of an event. Raises Unavailable, Refused, and StreamStopped as `session.connect`."""
    with (
        closing(session.connect_for_lookups(origin.dsn, "trace")) as connection,
        session.reaching(origin),
    ):
        # The sequence first: an id that it gives meanwhile is one that was not given.
        given = _last_given(origin, connection)
        parameters = {"id": event_id, "max_bytes": _MAX_BYTES}
        with connection.cursor(binary=True) as cursor:
            row = cursor.execute(origin.statement(_SQL["one"]).encode(), parameters).fetchone()
    return InSource(None if row is None else _row(*row), given)


def _row(key: bytes | None, value: bytes | None, size: int, time: Any) -> Row:
    moment = None if time is None else time.astimezone(UTC)
    return Row(None if key is None else key.decode("utf-8", "replace"), moment, size, value)


def _last_given(origin: Origin, connection: psycopg.Connection[Any]) -> int | None:
    """Return which id the sequence gave last; None where that cannot be seen, or it is not followed."""
    try:
        seen = look(origin, connection)
    except EngagementError:
        return None
    row = connection.execute(f"SELECT {seen.last_given}".encode(), {}).fetchone()
    return None if row is None or row[0] is None else int(row[0])
