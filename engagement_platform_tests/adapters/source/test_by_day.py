from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.source.by_day import ByDay

FIRST = date(1969, 12, 30)
SCHEMA = pa.schema([("id", pa.int64()), ("event_ts", pa.timestamp("us", tz="UTC"))])
Row = tuple[int, datetime]


def batches(rows: list[Row], sizes: list[int]) -> Iterator[pa.RecordBatch]:
    while rows or sizes:
        size = sizes.pop() if sizes else len(rows)
        part, rows = rows[:size], rows[size:]
        yield pa.record_batch([[i for i, _ in part], [t for _, t in part]], schema=SCHEMA)


@given(
    offsets=st.lists(st.integers(0, 5 * 86_400 - 1), max_size=30),
    sizes=st.lists(st.integers(0, 7), max_size=8),
)
def test_every_row_comes_out_with_its_day_once(offsets: list[int], sizes: list[int]) -> None:
    begin = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
    times = sorted((begin + timedelta(seconds=s) for s in offsets), key=lambda t: t.date())
    rows = list(enumerate(times))
    by_day = ByDay(batches(rows, sizes), SCHEMA)
    for n in range(5):
        day = FIRST + timedelta(days=n)
        found = by_day.of(day).read_all().column("id").to_pylist()
        assert found == [i for i, t in rows if t.date() == day]


def test_a_failure_is_kept_for_whoever_reads_from_foreign_code() -> None:
    def fails() -> Iterator[pa.RecordBatch]:
        yield next(batches([(1, datetime(2026, 1, 1, tzinfo=UTC))], []))
        raise ConnectionError("gone")

    by_day = ByDay(fails(), SCHEMA)
    with pytest.raises(ConnectionError):
        by_day.of(date(2026, 1, 1)).read_all()
    assert isinstance(by_day.failure, ConnectionError)
