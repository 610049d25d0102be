from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.source.by_day import ByDay

FIRST = date(1969, 12, 30)
NAMES = ("id", "event_ts")


def schema_of(number: str, time: str) -> pa.Schema:
    return pa.schema([(number, pa.int64()), (time, pa.timestamp("us", tz="UTC"))])


SCHEMA = schema_of(*NAMES)
Row = tuple[int, datetime]


def batches(rows: list[Row], sizes: list[int], schema: pa.Schema = SCHEMA) -> Iterator[pa.RecordBatch]:
    while rows or sizes:
        size = sizes.pop() if sizes else len(rows)
        part, rows = rows[:size], rows[size:]
        yield pa.record_batch([[i for i, _ in part], [t for _, t in part]], schema=schema)


@given(
    offsets=st.lists(st.integers(0, 5 * 86_400 - 1), max_size=30),
    sizes=st.lists(st.integers(0, 7), max_size=8),
    names=st.sampled_from([NAMES, ("order_no", "placed_at")]),
)
def test_every_row_comes_out_with_its_day_once(offsets: list[int], sizes: list[int], names: tuple[str, str]) -> None:
    begin = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
    times = sorted((begin + timedelta(seconds=s) for s in offsets), key=lambda t: t.date())
    rows = list(enumerate(times))
    number, time = names
    schema = schema_of(number, time)
    by_day = ByDay(batches(rows, sizes, schema), schema, number=number, time=time, twice=KeyError)
    for n in range(5):
        day = FIRST + timedelta(days=n)
        found = by_day.of(day).read_all().column(number).to_pylist()
        assert found == [i for i, t in rows if t.date() == day]


def test_a_failure_is_kept_for_whoever_reads_from_foreign_code() -> None:
    def fails() -> Iterator[pa.RecordBatch]:
        yield next(batches([(1, datetime(2026, 1, 1, tzinfo=UTC))], []))
        raise ConnectionError("gone")

    by_day = ByDay(fails(), SCHEMA, number="id", time="event_ts", twice=KeyError)
    with pytest.raises(ConnectionError):
        by_day.of(date(2026, 1, 1)).read_all()
    assert isinstance(by_day.failure, ConnectionError)


@pytest.mark.parametrize("sizes", [[], [1], [2], [3]])
def test_an_id_that_comes_twice_on_a_day_ends_the_stream(sizes: list[int]) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [(3, at), (1, at), (3, at), (3, at + timedelta(days=1))]
    by_day = ByDay(batches(rows, sizes), SCHEMA, number="id", time="event_ts", twice=KeyError)
    with pytest.raises(KeyError, match="3"):
        by_day.of(at.date()).read_all()
    assert isinstance(by_day.failure, KeyError)


def test_of_a_batch_that_has_passed_only_the_ids_are_kept() -> None:
    """A driver hands a batch over as one piece of memory: whoever holds on to one of its columns holds all of it."""
    day, rows = datetime(2026, 1, 1, tzinfo=UTC), 10_000
    schema = pa.schema([*SCHEMA, ("payload", pa.string())])
    at_first = pa.total_allocated_bytes()

    def wide() -> Iterator[pa.RecordBatch]:
        for n in range(20):
            ids = range(n * rows, (n + 1) * rows)
            yield pa.record_batch([ids, [day] * rows, ["x" * 200] * rows], schema=schema)

    driver = pa.RecordBatchReader.from_stream(pa.RecordBatchReader.from_batches(schema, wide()))
    by_day = ByDay(iter(driver), schema, number="id", time="event_ts", twice=KeyError)
    held = [pa.total_allocated_bytes() - at_first for _ in by_day.of(day.date())]
    assert len(held) == 20
    assert max(held) < 4 * rows * 216
