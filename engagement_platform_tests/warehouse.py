"""What tests of the warehouse share: events on certain days, and what the table has beside what the source has."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.enrichment import engagement_pct, engagement_seconds
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


def write(connection: psycopg.Connection[Any], n: int = 1, day: date = DAY, **columns: object) -> list[int]:
    """Insert `n` events of a day in the connection's transaction; return their ids."""
    values = {"event_type": "play", "duration_ms": 1005, "device": "ios"} | columns
    names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    found = connection.execute(
        f"INSERT INTO engagement_events (event_ts, {names}) "
        f"SELECT %(day)s::timestamp AT TIME ZONE 'UTC' + n * interval '1 second', {marks} "
        "FROM generate_series(1, %(n)s) AS n RETURNING id",
        {**values, "day": day, "n": n},
    ).fetchall()
    return [row[0] for row in found]


def source_ids_by_day(source: SourceDatabase) -> dict[date, list[int]]:
    """Return the ids of each day of the source, ascending."""
    with psycopg.connect(source.writer_dsn, options="-c timezone=UTC") as connection:
        return _grouped(connection.execute("SELECT event_ts::date, id FROM engagement_events ORDER BY id"))


def _grouped(pairs: Iterable[tuple[date, int]]) -> dict[date, list[int]]:
    days: dict[date, list[int]] = {}
    for day, each in pairs:
        days.setdefault(day, []).append(each)
    return days


def source_ids(source: SourceDatabase, day: date | None = None) -> list[int]:
    """Return the ids of the source, or those of a day, ascending."""
    with psycopg.connect(source.writer_dsn, options="-c timezone=UTC") as connection:
        found = connection.execute(
            "SELECT id FROM engagement_events WHERE %(day)s::date IS NULL OR event_ts::date = %(day)s ORDER BY id",
            {"day": day},
        ).fetchall()
    return [row[0] for row in found]


def table_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return the rows of `engagement_events` by id."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(ENGAGEMENT_EVENTS)
    found = warehouse.query("SELECT * FROM engagement_events WHERE event_ts >= TIMESTAMP '0001-01-01 00:00:00+00'")
    rows: list[dict[str, Any]] = found.to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def table_ids(settings: Settings, day: date | None = None) -> list[int]:
    """Return the ids of the table, or those of a day, ascending; doubled ones twice."""
    found = ids_by_day(settings)
    return sorted(each for that, ids in found.items() if day in (None, that) for each in ids)


def ids_by_day(settings: Settings) -> dict[date, list[int]]:
    """Return the ids of each day of the table, ascending; doubled ones twice."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(ENGAGEMENT_EVENTS)
    ever = "event_ts >= TIMESTAMP '0001-01-01 00:00:00+00'"
    found = warehouse.query(f"SELECT DATE(event_ts) AS day, id FROM engagement_events WHERE {ever} ORDER BY id")
    return _grouped(zip(found.column("day").to_pylist(), found.column("id").to_pylist(), strict=True))


def doubled(ids: list[int]) -> list[int]:
    """Return the ids that are there more than once."""
    return [each for each, times in Counter(ids).items() if times > 1]


def oracle_rows(source: SourceDatabase) -> list[dict[str, Any]]:
    """Return what the table should hold, read by the source's own means and rounded in Python."""
    with psycopg.connect(source.writer_dsn, options="-c timezone=UTC") as connection:
        connection.row_factory = psycopg.rows.dict_row  # type: ignore[assignment]
        found: Any = connection.execute(
            "SELECT e.id, e.content_id::text, e.user_id::text, e.event_type, e.event_ts, e.duration_ms, e.device, "
            "CASE WHEN e.raw_payload <> 'null' THEN e.raw_payload::text END AS raw_payload, "
            "c.slug, c.title, c.content_type, c.length_seconds "
            "FROM engagement_events e LEFT JOIN content c ON c.id = e.content_id ORDER BY e.id"
        ).fetchall()
    return [row | _enriched(row["duration_ms"], row["length_seconds"]) for row in found]


def _enriched(duration_ms: int | None, length_seconds: int | None) -> dict[str, Decimal | None]:
    return {
        "engagement_seconds": engagement_seconds(duration_ms),
        "engagement_pct": engagement_pct(duration_ms, length_seconds),
    }
