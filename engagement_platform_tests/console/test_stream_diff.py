"""stream diff: what a changed statement would change in a day, exactly, and in bounded memory."""

import math
import tracemalloc
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.source.formula import opened
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.streams import read
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.day_diff import DayDiff, compare, day_in_warehouse
from engagement_platform.adapters.warehouse.port import Replacement
from engagement_platform.cli import group
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.stream_table import table_of
from engagement_platform.settings import load
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.shop import make_shop, order

DAY = date(2026, 3, 1)
VALUES = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, math.nan]))


def table(rows: list[tuple[int, Any]], of: pa.DataType) -> pa.Table:
    ids, values = [number for number, _ in rows], [value for _, value in rows]
    return pa.table({"id": pa.array(ids, pa.int64()), "value": pa.array(values, of)})


def chunked(rows: list[tuple[int, Any]], of: pa.DataType, cuts: list[int]) -> Iterator[pa.Table]:
    whole = table(rows, of)
    yield whole.slice(0, 0)
    at = 0
    for cut in [*sorted(set(cuts)), len(rows)]:
        if at <= cut <= len(rows):
            yield whole.slice(at, cut - at)
            at = cut


def as_bits(value: float | None) -> object:
    return value if value is None else "NaN" if math.isnan(value) else (value, math.copysign(1, value))


@given(
    st.dictionaries(st.integers(0, 30), VALUES),
    st.dictionaries(st.integers(0, 30), VALUES),
    st.lists(st.integers(0, 30), max_size=4),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_however_both_are_cut_each_difference_is_counted(
    before: dict[int, float | None], after: dict[int, float | None], cuts: list[int], later_cuts: list[int]
) -> None:
    diff = compare(
        "id",
        chunked(sorted(before.items()), pa.float64(), cuts),
        chunked(sorted(after.items()), pa.float64(), later_cuts),
        examples=3,
    )
    both = before.keys() & after.keys()
    differing = sorted(number for number in both if as_bits(before[number]) != as_bits(after[number]))
    assert (diff.before_rows, diff.after_rows) == (len(before), len(after))
    assert (diff.only_before, diff.only_after) == (len(before.keys() - after), len(after.keys() - before))
    assert diff.rows == len(differing)
    assert (
        [number for number, _, _ in diff.columns["value"].examples] == differing[:3] if differing else not diff.columns
    )


@pytest.mark.parametrize(
    ("before", "after", "equal"),
    [
        ((Decimal("0.25"), pa.decimal128(18, 2)), (Decimal("0.2500"), pa.decimal128(18, 4)), True),
        ((Decimal("0.25"), pa.decimal128(18, 2)), (Decimal("0.2501"), pa.decimal128(18, 4)), False),
        ((3, pa.int64()), (Decimal("3.00"), pa.decimal128(18, 2)), True),
        ((9007199254740993, pa.int64()), (9007199254740992, pa.int64()), False),
        (("1", pa.string()), (1, pa.int64()), True),
        ((b"a", pa.binary()), (b"b", pa.binary()), False),
        ((None, pa.string()), ("", pa.string()), False),
        ((None, pa.int64()), (None, pa.string()), True),
    ],
)
def test_values_are_compared_exactly(before: Any, after: Any, equal: bool) -> None:
    diff = compare("id", iter([table([(1, before[0])], before[1])]), iter([table([(1, after[0])], after[1])]), 3)
    assert (diff.rows == 0) is equal


def test_a_row_that_is_there_twice_is_said() -> None:
    twice = table([(1, "a"), (1, "a"), (2, "b")], pa.string())
    diff = compare("id", iter([twice]), iter([table([(1, "a"), (2, "b")], pa.string())]), 3)
    assert (diff.doubled_before, diff.named["doubled_before"], diff.rows) == (1, [1], 0)
    assert diff.differs


def test_a_column_that_has_gone_and_is_null_is_no_difference() -> None:
    def diff_with(value: str | None) -> DayDiff:
        before = pa.table({"id": [1, 2], "old": pa.array([None, value], pa.string())})
        return compare("id", iter([before]), iter([pa.table({"id": [1, 2]})]), 3)

    assert not diff_with(None).differs
    assert diff_with("a").gone == {"old": "string"}


def test_memory_does_not_grow_with_the_day() -> None:
    def rows(chunks: int) -> Iterator[pa.Table]:
        for chunk in range(chunks):
            yield pa.table(
                {"id": pa.array(range(chunk * 10_000, (chunk + 1) * 10_000)), "value": pa.array([1.5] * 10_000)}
            )

    def peak(chunks: int) -> int:
        pa_before = pa.total_allocated_bytes()
        tracemalloc.start()
        diff = compare("id", rows(chunks), rows(chunks), 3)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert diff.before_rows == chunks * 10_000
        assert pa.total_allocated_bytes() - pa_before < 4_000_000
        return highest

    peak(2)
    assert peak(40) < 2 * peak(4)


@pytest.fixture
def folder(tmp_path: Path, source_db: SourceDatabase, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a shop's orders, with a day of a hundred of them."""
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", source_db.dsn)
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("ENGAGEMENT_WAREHOUSE_URI", str(tmp_path / "warehouse"))
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        make_shop(connection)
        order(connection, 100, DAY)
    done = CliRunner().invoke(group, ["stream", "init", str(tmp_path / "orders"), "--table", "shop.orders"])
    assert done.exit_code == 0, done.output
    return tmp_path / "orders"


def rebuild(folder: Path, source: SourceDatabase, number: int = 1) -> None:
    """Put into the warehouse what the folder's statement gives now."""
    stream = read(folder)
    warehouse = open_warehouse(load("orders"))
    with opened(Origin(source.dsn, stream)) as (formula,):
        events = table_of(stream, formula.schema)
        warehouse.ensure(events)
        chunks = list(formula.day(DAY))
        reader = pa.RecordBatchReader.from_batches(
            chunks[0].schema, (batch for chunk in chunks for batch in chunk.to_batches())
        )
        warehouse.replace_day(Replacement(events, DAY, number), reader)


def diff_of(folder: Path, *arguments: object, code: int) -> str:
    done = CliRunner().invoke(group, ["stream", "diff", str(folder), "--day", str(DAY), *map(str, arguments)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


@pytest.mark.servers
def test_a_changed_formula_on_a_day(folder: Path, source_db: SourceDatabase) -> None:
    rebuild(folder, source_db)
    assert "Nothing differs." in diff_of(folder, code=0)
    statement = folder / "enriched.sql"
    text = statement.read_text()
    statement.write_text(
        text.replace(
            "event.cents,",
            "event.cents + (event.order_no <= 10)::int AS cents, event.cents::numeric(12,2) / 100 AS euros,",
        )
    )
    said = diff_of(folder, code=1)
    assert "2026-03-01: 100 rows in the warehouse, 100 by this enriched.sql" in said
    assert "column added: euros" in said
    assert "rows that differ: 10\n  cents: 10\n    id 1: 101 -> 102\n    id 2: 102 -> 103" in said
    assert "sum of cents: 15050 -> 15060 (+10)" in said
    assert "engagement-platform backfill --stream orders --since 2026-03-01 --until 2026-03-01T23:59:59" in said
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM shop.orders WHERE order_no = 100")
        order(connection, 1, DAY)
    statement.write_text(
        text.replace("       event.channel,\n", "       event.channel::varchar(2)::text AS channel,\n")
    )
    said = diff_of(folder, "--examples", 1, code=1)
    assert "rows only in the warehouse: 1 (100)" in said
    assert "rows only by this enriched.sql: 1 (101)" in said
    assert said.count("    id ") == 1
    assert "column gone" not in said


@pytest.mark.servers
def test_two_statements_in_one_snapshot(folder: Path, tmp_path: Path, source_db: SourceDatabase) -> None:
    former = tmp_path / "former"
    former.mkdir()
    for name in ("stream.toml", "enriched.sql"):
        (former / name).write_text((folder / name).read_text())
    assert "Nothing differs." in diff_of(folder, "--against", former, code=0)
    statement = folder / "enriched.sql"
    statement.write_text(statement.read_text().replace("event.cents,", "nullif(event.cents, 105) AS cents,"))
    said = diff_of(folder, "--against", former, code=1)
    assert "id 5: 105 -> null" in said
    assert f"100 rows in {former}" in said
    assert not (tmp_path / "warehouse").exists()


@pytest.mark.servers
def test_a_folder_with_another_id_cannot_be_compared_with(
    folder: Path, tmp_path: Path, source_db: SourceDatabase
) -> None:
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE shop.orders ADD COLUMN other_no bigint GENERATED ALWAYS AS IDENTITY")
    init = ["stream", "init", str(tmp_path / "former"), "--table", "shop.orders", "--id", "other_no"]
    assert CliRunner().invoke(group, init).exit_code == 0
    said = CliRunner().invoke(
        group, ["stream", "diff", str(folder), "--day", str(DAY), "--against", str(tmp_path / "former")]
    )
    assert isinstance(said.exception, EngagementError)
    assert "by order_no and" in str(said.exception)
    assert "by other_no" in str(said.exception)


@pytest.mark.servers
def test_a_day_is_read_in_chunks_whatever_is_doubled_in_it(folder: Path, source_db: SourceDatabase) -> None:
    rebuild(folder, source_db)
    stream = read(folder)
    chunks = list(day_in_warehouse(open_warehouse(load("orders")), stream, DAY, rows=7))
    assert len(chunks) > 10
    ids = [number for chunk in chunks for number in chunk.column("order_no").to_pylist()]
    assert ids == list(range(1, 101))
    assert DayDiff().differs is False


@pytest.mark.servers
def test_a_day_that_the_warehouse_does_not_have(folder: Path) -> None:
    done = CliRunner().invoke(group, ["stream", "diff", str(folder), "--day", str(DAY)])
    assert "There is no table orders" in str(done.exception)


@pytest.mark.servers
def test_a_day_is_read_as_it_was_however_it_is_replaced_meanwhile(folder: Path, source_db: SourceDatabase) -> None:
    rebuild(folder, source_db)
    stream = read(folder)
    warehouse = open_warehouse(load("orders"))
    chunks = day_in_warehouse(warehouse, stream, DAY, rows=30)
    ids = next(chunks).column("order_no").to_pylist()
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM shop.orders WHERE order_no > 50")
    rebuild(folder, source_db, number=2)
    ids += [number for chunk in chunks for number in chunk.column("order_no").to_pylist()]
    assert ids == list(range(1, 101))
