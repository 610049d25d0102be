"""Makes a day of a mart anew from the day's events, and replaces it in one step."""

import hashlib
from datetime import date

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Conflict, Overtaken, Replacement
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.table import ENGAGEMENT_EVENTS, Table
from engagement_platform.settings import Settings

_TRIES = 5


def query_of(stream: EventStream, mart: Table) -> str:
    """Return the query of a mart in BigQuery's dialect; its parameters are @day, @begin and @end, times in UTC."""
    return stream.marts[mart.name]


def code_version(stream: EventStream, mart: Table) -> str:
    """Return what changes with the mart's formula, and not with its comments."""
    return hashlib.sha256(" ".join(query_of(stream, mart).split()).encode()).hexdigest()[:12]


def refresh_day(settings: Settings, mart: Table, day: date) -> int:
    """Replace a day of a mart by what the events of the day give now; return how many rows it has.

    Raises EngagementError; the day is then as it was.
    """
    ensure_schema(settings)
    warehouse = open_warehouse(settings)
    warehouse.ensure(ENGAGEMENT_EVENTS)
    warehouse.ensure(mart)
    begin, end = bounds(day)
    query = query_of(stream_of(settings), mart)
    with Rebuilds.opened(settings, "mart") as rebuilds:
        for _ in range(_TRIES):
            replacement = Replacement(mart, day, rebuilds.next_number())
            try:
                return warehouse.replace_day_by_query(replacement, query, {"day": day, "begin": begin, "end": end})
            except (Conflict, Overtaken):
                continue
    raise Unavailable(
        f"Other writers replaced {day} of {mart.name} {_TRIES} times meanwhile.",
        "Run it again in a moment. If nobody else writes, the platform database is older than the table: see 'When a "
        "server is lost' in docs/operating.md.",
    )
