"""Rows of the warehouse for tests: as dictionaries, as lines of NDJSON, as Arrow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.table import Column, Kind, Table
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

DAY = date(2024, 8, 1)
NEXT_DAY = DAY + timedelta(days=1)

Row = Mapping[str, Any]

DAILY = Table(
    "daily_plays",
    "Plays of a content on a day: a table whose day is a DATE.",
    day="day",
    clustered_by=("content_id",),
    columns=(
        Column("day", Kind.DATE, "Day in UTC.", required=True),
        Column("content_id", Kind.STRING, "UUID of the content."),
        Column("plays", Kind.INT64, "How many plays."),
        Column("seconds", Kind.NUMERIC, "For how long."),
        Column("mean_pct", Kind.FLOAT64, "Mean share of the content's length."),
    ),
)


def with_columns(table: Table, *columns: Column, at: int | None = None) -> Table:
    """Return a table with columns more: at a place, or behind the others."""
    place = len(table.columns) if at is None else at
    return replace(table, columns=(*table.columns[:place], *columns, *table.columns[place:]))


def without_column(table: Table, name: str) -> Table:
    """Return a table with a column less."""
    return replace(table, columns=tuple(column for column in table.columns if column.name != name))


def event(number: int, day: date = DAY, **changes: Any) -> dict[str, Any]:
    """Return one row of `engagement_events` on a day, with some columns changed."""
    row = {
        "id": number,
        "content_id": "6f2c1d7e-1111-4222-8333-123456789abc",
        "user_id": "0b9a3b1e-5555-4666-8777-abcdefabcdef",
        "event_type": "play",
        "event_ts": datetime.combine(day, time(12), UTC) + timedelta(microseconds=number),
        "duration_ms": 1005,
        "device": "ios",
        "raw_payload": '{"app": "4.2"}',
        "slug": "a-slug",
        "title": "A title",
        "content_type": "podcast",
        "length_seconds": 10,
        "engagement_seconds": Decimal("1.01"),
        "engagement_pct": Decimal("0.10"),
    }
    return row | changes


def events(numbers: Iterable[int], day: date = DAY, **changes: Any) -> list[dict[str, Any]]:
    """Return rows of one day."""
    return [event(number, day, **changes) for number in numbers]


def without_values(number: int, day: date = DAY) -> dict[str, Any]:
    """Return a row with NULL wherever NULL is allowed."""
    return event(number, day, **{column.name: None for column in ENGAGEMENT_EVENTS.columns if not column.required})


_encode = msgspec.json.Encoder(decimal_format="number").encode


def lines(rows: Iterable[Row]) -> bytes:
    """Return rows as NDJSON, as `domain.batches` writes them."""
    return b"".join(_encode(row) + b"\n" for row in rows)


def batch(folder: Path, rows: Iterable[Row]) -> Path:
    """Write rows to a file of NDJSON."""
    path = folder / f"batch-{len(list(folder.iterdir()))}.ndjson"
    path.write_bytes(lines(rows))
    return path


def reader(*batches: Sequence[Row], table: Table = ENGAGEMENT_EVENTS) -> pa.RecordBatchReader:
    """Return rows as a stream of Arrow batches."""
    schema = arrow_schema(table)
    return pa.RecordBatchReader.from_batches(schema, [pa.RecordBatch.from_pylist(list(b), schema) for b in batches])
