"""Makes a day of a mart anew from the day's events, and replaces it in one step."""

from datetime import date

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Conflict, Overtaken, Replacement
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.marts import Mart
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings

_TRIES = 5
_ANY_DAY = date(2026, 1, 1)


def table_of_mart(stream: EventStream, mart: Mart, events: Table) -> Table:
    """Return the table of a mart: as `stream.toml` says it, or as the query gives it over the table of the events.

    Raises EngagementError.
    """
    if mart.stated is not None:
        return mart.stated
    from engagement_platform.adapters.warehouse.delta.dry import columns_of  # noqa: PLC0415, as it loads an engine

    begin, end = bounds(_ANY_DAY)
    tables = [events, *(table_of_mart(stream, stream.marts[name], events) for name in mart.reads)]
    return mart.table(columns_of(mart.query, tables, {"day": _ANY_DAY, "begin": begin, "end": end}))


def refresh_day(settings: Settings, mart: Mart, day: date) -> int:
    """Replace a day of a mart by what the events of the day give now; return how many rows it has.

    Raises EngagementError; the day is then as it was.
    """
    ensure_schema(settings)
    stream, warehouse, events = stream_of(settings), open_warehouse(settings), table_now(settings)
    for name in mart.reads:
        warehouse.ensure(table_of_mart(stream, stream.marts[name], events))
    warehouse.ensure(events)
    table = table_of_mart(stream, mart, events)
    warehouse.ensure(table)
    begin, end = bounds(day)
    with Rebuilds.opened(settings, "mart") as rebuilds:
        for _ in range(_TRIES):
            replacement = Replacement(table, day, rebuilds.next_number())
            try:
                return warehouse.replace_day_by_query(replacement, mart.query, {"day": day, "begin": begin, "end": end})
            except (Conflict, Overtaken):
                continue
    raise Unavailable(
        f"Other writers replaced {day} of {mart.name} {_TRIES} times meanwhile.",
        "Run it again in a moment. If nobody else writes, the platform database is older than the table: see 'When a "
        "server is lost' in docs/operating.md.",
    )
