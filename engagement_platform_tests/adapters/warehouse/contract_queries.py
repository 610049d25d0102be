"""The contract of queries and of upkeep, and that a row is the same whichever way it came in."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement_platform.adapters.warehouse.port import QueryFailed, RowOfDay, Warehouse
from engagement_platform.domain.days import bounds
from engagement_platform.domain.table import Kind
from engagement_platform_tests.adapters.warehouse.rows import DAY, NEXT_DAY, batch, event, events, reader
from engagement_platform_tests.adapters.warehouse.support import ALL, EVER, Store, ids, load, replacement
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

ANSWERS: list[tuple[str, Any]] = [
    ("COUNTIF(device = 'ios')", 3),
    ("COUNT(DISTINCT device)", 2),
    ("SUM(duration_ms)", 3015),
    ("SUM(engagement_seconds)", Decimal("3.29")),
    ("SAFE_DIVIDE(SUM(duration_ms), COUNTIF(device = 'android'))", None),
    ("SAFE_DIVIDE(SUM(duration_ms), COUNT(*))", 753.75),
    ("ROUND(CAST(AVG(engagement_pct) AS FLOAT64), 3)", 0.1),
    ("ROUND(MAX(engagement_seconds), 1)", Decimal("1.0")),
    ("COUNT(DISTINCT TIMESTAMP_TRUNC(event_ts, HOUR))", 2),
    ("MAX(TIMESTAMP_TRUNC(event_ts, HOUR))", datetime(2024, 8, 1, 23, tzinfo=UTC)),
    ("MAX(DATE(event_ts))", DAY),
    ("MAX(EXTRACT(HOUR FROM event_ts))", 23),
    ("MAX(EXTRACT(DAYOFWEEK FROM event_ts))", 5),
    ("MAX(EXTRACT(DATE FROM event_ts))", DAY),
    ("MAX(DATETIME(event_ts))", datetime(2024, 8, 1, 23, 59, 59, 999999)),  # noqa: DTZ001
    ("MIN(JSON_VALUE(raw_payload, '$.app'))", "4.2"),
    ("MIN(JSON_VALUE(raw_payload, '$.none'))", None),
    ("APPROX_QUANTILES(id, 2)[OFFSET(1)]", 2),
    ("MAX(FORMAT_TIMESTAMP('%Y-%m-%d %H', event_ts))", "2024-08-01 23"),
    ("MAX(DATE_ADD(DATE(event_ts), INTERVAL 1 DAY))", NEXT_DAY),
    ("MAX(DATE_TRUNC(DATE(event_ts), MONTH))", DAY),
    ("MAX(DATE_SUB(EXTRACT(DATE FROM event_ts), INTERVAL 1 MONTH))", date(2024, 7, 1)),
    ("MAX(DATE_TRUNC(DATE(event_ts), WEEK))", date(2024, 7, 28)),
    ("CAST(MAX(duration_ms) AS NUMERIC) * 2", Decimal(2010)),
    ("STRING_AGG(DISTINCT content_type)", "podcast"),
]


class QueryContract:
    @pytest.fixture
    def filled(self, warehouse: Warehouse, tmp_path: Path) -> Warehouse:
        last = datetime(2024, 8, 1, 23, 59, 59, 999999, tzinfo=UTC)
        rows = [event(1), event(2, device="web"), event(3, event_ts=last)]
        rows.append(event(4, duration_ms=None, engagement_seconds=Decimal("0.26")))
        rows[2]["engagement_seconds"] = Decimal("1.01")
        rows[1]["engagement_seconds"] = Decimal("1.01")
        rows[0]["engagement_seconds"] = Decimal("1.01")
        warehouse.append(load(1), batch(tmp_path, rows))
        return warehouse

    @pytest.mark.parametrize(("expression", "answer"), ANSWERS, ids=[expression for expression, _ in ANSWERS])
    def test_expression(self, filled: Warehouse, expression: str, answer: object) -> None:
        [row] = filled.query(f"SELECT {expression} AS x FROM engagement_events WHERE {EVER}").to_pylist()
        assert row["x"] == answer
        assert type(row["x"]) is type(answer)

    def test_how_large_a_table_is_can_be_asked(self, filled: Warehouse, tmp_path: Path) -> None:
        before = filled.extent(ENGAGEMENT_EVENTS)
        filled.append(load(2), batch(tmp_path, [event(5)]))
        after = filled.extent(ENGAGEMENT_EVENTS)
        assert (before.rows, after.rows) == (4, 5)
        assert 0 < before.bytes < after.bytes
        assert (before.files is None) == (after.files is None)
        assert after.files is None or after.files > (before.files or 0) > 0

    def test_qualify(self, filled: Warehouse) -> None:
        last = "QUALIFY ROW_NUMBER() OVER (PARTITION BY device ORDER BY id DESC) = 1"
        assert ids(filled, f"SELECT id FROM engagement_events WHERE {EVER} {last} ORDER BY id") == [2, 4]

    def test_a_query_may_name_its_parts(self, filled: Warehouse) -> None:
        some = f"SELECT id FROM engagement_events WHERE {EVER} AND id > 2"
        sql = f"WITH some AS ({some}) SELECT some.id FROM some ORDER BY id"
        assert ids(filled, sql) == [3, 4]

    def test_columns_have_the_types_of_the_table(self, filled: Warehouse) -> None:
        found = {field.name: field.type for field in filled.query(ALL).schema}
        assert list(found) == [column.name for column in ENGAGEMENT_EVENTS.columns]
        for column in ENGAGEMENT_EVENTS.columns:
            is_kind = {
                Kind.INT64: pa.types.is_int64,
                Kind.STRING: pa.types.is_string,
                Kind.NUMERIC: pa.types.is_decimal,
                Kind.TIMESTAMP: lambda kind: kind == pa.timestamp("us", tz="UTC"),
            }[column.kind]
            assert is_kind(found[column.name]), column.name

    @pytest.mark.parametrize(
        ("condition", "value", "found"),
        [
            ("id = @x", 2, [2]),
            ("device = @x", "web", [2]),
            ("DATE(event_ts) = @x", DAY, [1, 2, 3, 4]),
            ("DATE(event_ts) = @x", NEXT_DAY, []),
            ("event_ts >= @x", datetime(2024, 8, 1, 23, tzinfo=UTC), [3]),
            ("device = @x", "web' OR ''='", []),
        ],
    )
    def test_parameters(self, filled: Warehouse, condition: str, value: Any, found: list[int]) -> None:
        sql = f"SELECT id FROM engagement_events WHERE {EVER} AND {condition} ORDER BY id"
        assert filled.query(sql, {"x": value}).column("id").to_pylist() == found

    @pytest.mark.parametrize(
        "sql",
        [
            f"SELEC id FROM engagement_events WHERE {EVER}",
            f"SELECT mood FROM engagement_events WHERE {EVER}",
            "SELECT * FROM no_such_table",
            "SELECT id, id FROM engagement_events",
            f"SELECT NO_SUCH_FUNCTION(id) FROM engagement_events WHERE {EVER}",
            f"SELECT id FROM engagement_events WHERE {EVER} AND id = @nobody",
            "",
            "SELECT 1 AS a; SELECT 2 AS a",
            f"DELETE FROM engagement_events WHERE {EVER}",
            "DROP TABLE engagement_events",
            f"CREATE TABLE another AS SELECT * FROM engagement_events WHERE {EVER}",
            f"INSERT INTO engagement_events SELECT * FROM engagement_events WHERE {EVER}",
            "TRUNCATE TABLE engagement_events",
        ],
    )
    def test_a_query_that_cannot_be_answered_says_so_and_changes_nothing(self, filled: Warehouse, sql: str) -> None:
        with pytest.raises(QueryFailed) as raised:
            filled.query(sql)
        assert "Traceback" not in str(raised.value)
        assert ids(filled) == [1, 2, 3, 4]


class SnapshotContract:
    def test_a_table_stays_what_it_was_however_it_is_written_to(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1, 2])))
        snapshot = warehouse.snapshot(ENGAGEMENT_EVENTS.name)
        asked = f"SELECT * FROM {snapshot.name} WHERE {EVER} ORDER BY id"
        before = snapshot.query(asked)
        assert before == warehouse.query(ALL)
        other = store.open()
        other.append(load(2), batch(tmp_path, events([3])))
        other.replace_day(replacement(1), reader([event(4)]))
        store.add_column(ENGAGEMENT_EVENTS.name, "mood")
        assert ids(warehouse) == [4]
        assert snapshot.query(asked) == before
        some = f"SELECT id FROM {snapshot.name} WHERE {EVER} AND id > @after ORDER BY id"
        assert snapshot.query(some, {"after": 1}).column("id").to_pylist() == [2]
        after = warehouse.snapshot(ENGAGEMENT_EVENTS.name)
        assert ids(warehouse, f"SELECT id FROM {after.name} WHERE {EVER}") == [4]

    def test_one_row_is_located_in_its_day_and_nowhere_else(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events(range(1, 4))))
        warehouse.append(load(2), batch(tmp_path, events(range(4, 6), NEXT_DAY)))

        def located(number: int, day: date = DAY, table: str = ENGAGEMENT_EVENTS.name) -> tuple[str, ...] | None:
            return warehouse.locate(RowOfDay(table, "id", number, "event_ts", *bounds(day)))

        assert located(2) is not None
        assert located(2) == located(3)
        assert located(2, NEXT_DAY) is None
        assert located(4) is None
        assert located(5, NEXT_DAY) is not None
        assert located(9) is None
        warehouse.replace_day(replacement(1), reader(events([1, 3])))
        assert located(2) is None
        assert located(3) is not None

    def test_there_is_no_snapshot_of_no_table(self, warehouse: Warehouse) -> None:
        with pytest.raises(QueryFailed):
            (of := warehouse.snapshot("no_such_table")).query(f"SELECT * FROM {of.name} WHERE {EVER}")


class UpkeepContract:
    def test_upkeep_changes_no_row(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        for version in range(12):
            warehouse.append(load(version), batch(tmp_path, [event(version), event(100 + version, NEXT_DAY)]))
        before = warehouse.query(ALL)
        assert all(isinstance(figure, int) for figure in store.open().upkeep().values())
        assert warehouse.query(ALL) == before
        assert warehouse.is_loaded(load(11))
        warehouse.append(load(11), batch(tmp_path, events([11])))
        assert warehouse.query(ALL) == before

    def test_upkeep_of_no_table(self, store: Store) -> None:
        assert all(isinstance(figure, int) for figure in store.open().upkeep().values())


def _texts(largest: int) -> st.SearchStrategy[str | None]:
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")  # PostgreSQL has no NUL in text
    return st.none() | st.text(alphabet, max_size=largest)


_INTEGERS = st.none() | st.integers(-(1 << 31), (1 << 31) - 1)
_NUMERICS = st.none() | st.decimals(Decimal("-21474836.48"), Decimal("21474836.47"), places=2)
_VALUES = {
    "content_id": _texts(36),
    "duration_ms": _INTEGERS,
    "raw_payload": _texts(60),
    "title": _texts(20),
    "length_seconds": _INTEGERS,
    "engagement_seconds": _NUMERICS,
    "engagement_pct": _NUMERICS,
}
_TIMES = st.integers(0, 86_400_000_000 - 1)
_ROWS = st.lists(st.tuples(_TIMES, st.fixed_dictionaries(_VALUES)), max_size=4)


def _first_moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class RoundTripContract:
    def test_a_row_is_the_same_whichever_way_it_came_in(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        versions = count(1)

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(day=st.sampled_from(store.days), drawn=_ROWS)
        def check(day: date, drawn: list[tuple[int, dict[str, Any]]]) -> None:
            version = next(versions)
            warehouse.replace_day(replacement(2 * version, day), reader())
            rows = [
                event(number, event_ts=_first_moment(day) + timedelta(microseconds=at)) | values
                for number, (at, values) in enumerate(drawn)
            ]
            in_day = {"a": _first_moment(day), "b": _first_moment(day) + timedelta(microseconds=86_399_999_999)}
            sql = "SELECT * FROM engagement_events WHERE event_ts BETWEEN @a AND @b ORDER BY id"
            warehouse.append(load(version), batch(tmp_path, rows))
            assert warehouse.query(sql, in_day).to_pylist() == rows
            assert warehouse.replace_day(replacement(2 * version + 1, day), reader(rows)) == len(rows)
            assert warehouse.query(sql, in_day).to_pylist() == rows

        check()
