"""A value is the same whichever way it comes: by the stream or by a rebuild, into Delta Lake or BigQuery's stand-in.

From a real PostgreSQL: the relay's statement gives the message, `domain.records` its line, the rebuild's statement
rows of Arrow. And the comparison of a day sees the same value as the same, and another one as another.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json, Jsonb

from engagement_platform.adapters.figures import Figures, figures_of
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import describe
from engagement_platform.adapters.source.history import open_history, own_columns, unfit_among
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.adapters.warehouse.port import Load, Replacement, Warehouse
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.batches import Lines, Rejected
from engagement_platform.domain.days import bounds
from engagement_platform.domain.reconciliation import comparison_of
from engagement_platform.domain.stream_table import table_of
from engagement_platform.history.table import figures_of_day
from engagement_platform_tests.adapters.source.typed import DAY, EVERY_TYPE, Carried, make_table, stream
from engagement_platform_tests.adapters.warehouse.bigquery.conftest import stand_in  # noqa: F401 - a fixture
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import store_of
from engagement_platform_tests.adapters.warehouse.delta.test_contract import DeltaStore
from engagement_platform_tests.conftest import SourceDatabase

OTHERS = ("id", "content_id", "event_ts")
ROWS = "SELECT * FROM typed WHERE event_ts >= TIMESTAMP '0001-01-01 00:00:00+00' ORDER BY id"


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        connection.execute(make_table().encode())
        yield connection


class Sinks:
    """Delta Lake and BigQuery's stand-in, and what comes into them by the stream and by a rebuild."""

    def __init__(self, source: SourceDatabase, folder: Path, stand_in: StandIn) -> None:  # noqa: F811
        self.origin, self.folder = Origin(source.dsn, stream()), folder
        with closing(session.connect(source.dsn, "test")) as connection:
            self.schema = describe(self.origin, connection)
        self.table = table_of(stream(), self.schema)
        self.arrow = arrow_schema(self.table)
        self.lines = Lines(self.schema)
        self.warehouses: dict[str, Warehouse] = {
            "delta": DeltaStore(folder / "delta").open(),
            "bigquery": store_of(stand_in, folder / "state").open(),
        }
        for warehouse in self.warehouses.values():
            warehouse.ensure(self.table)
        self.writes = 0

    def messages(self) -> list[tuple[int, bytes]]:
        """What the relay publishes of the table."""
        with open_source(self.origin) as source:
            return [(row.id, row.value) for row in source.read(0, [], Limits(100_000, 1 << 30, 1 << 30)).rows]

    def streamed(self) -> dict[str, list[dict[str, Any]]]:
        """Load what the relay publishes; return what each warehouse has then, without what cannot be a line."""
        self._write_nothing()
        self.unfit = dict[int, str]()
        lines = []
        for number, value in self.messages():
            line = self.lines.of(value)
            if isinstance(line, Rejected):
                assert line.id == number
                self.unfit[number] = line.reason
            else:
                assert (line.id, line.day) == (number, DAY)
                lines.append(line.json + b"\n")
        path = self.folder / "lines.ndjson"
        path.write_bytes(b"".join(lines))
        self.writes += 1
        load = Load(f"stage_{self.writes}", "stage", self.writes, table=self.table)
        for warehouse in self.warehouses.values():
            warehouse.append(load, path)
        return self._rows()

    def rebuilt(self) -> dict[str, list[dict[str, Any]]]:
        """Replace the day by what a rebuild reads; return what each warehouse has then."""
        for warehouse in self.warehouses.values():
            self.writes += 1
            with open_history(self.origin) as history:
                rows = history.rows([DAY], self.arrow).of(DAY)
                warehouse.replace_day(Replacement(self.table, DAY, self.writes), rows)
        return self._rows()

    def in_source(self) -> Figures:
        """What the day is compared by, in the source as it is now."""
        self.comparison = comparison_of(stream(), self.schema, own_columns(self.origin))
        with open_history(self.origin) as history:
            return figures_of(history.figures(DAY, self.comparison), self.comparison)

    def in_warehouses(self) -> dict[str, Figures]:
        """The same in each warehouse; `in_source` is asked before."""
        begin, end = bounds(DAY)
        question = figures_of_day(stream(), self.comparison)
        return {
            name: figures_of(
                warehouse.query(question, {"begin": begin, "end": end}).to_batches(), self.comparison, is_table=True
            )
            for name, warehouse in self.warehouses.items()
        }

    def changed(self) -> dict[str, list[int]]:
        """Which rows a comparison of the day calls changed; those that the warehouse lacks left out."""
        source = self.in_source()
        marks = dict(zip(source.ids.tolist(), source.marks.tolist(), strict=True))
        return {
            name: [
                number
                for number, mark in zip(table.ids.tolist(), table.marks.tolist(), strict=True)
                if marks[number] != mark
            ]
            for name, table in self.in_warehouses().items()
        }

    def _write_nothing(self) -> None:
        for warehouse in self.warehouses.values():
            self.writes += 1
            nothing = pa.RecordBatchReader.from_batches(self.arrow, [])
            warehouse.replace_day(Replacement(self.table, DAY, self.writes), nothing)

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        return {name: warehouse.query(ROWS).to_pylist() for name, warehouse in self.warehouses.items()}


@pytest.fixture
def sinks(source_db: SourceDatabase, owner: object, tmp_path: Path, stand_in: StandIn) -> Sinks:  # noqa: F811
    return Sinks(source_db, tmp_path, stand_in)


def same(value: Any, other: Any) -> bool:
    """Compare two values to the sign of zero; NaN is itself."""
    if isinstance(value, float) and isinstance(other, float):
        return repr(value) == repr(other) or (math.isnan(value) and math.isnan(other))
    return type(value) is type(other) and bool(value == other)


def test_each_value_is_the_same_in_both_warehouses_whichever_way_it_came(
    owner: psycopg.Connection[Any], sinks: Sinks
) -> None:
    expected: dict[int, tuple[str, str, Any]] = {}
    owner.execute("INSERT INTO typed DEFAULT VALUES")
    for case in EVERY_TYPE:
        for literal, value in case.values:
            row = owner.execute(f"INSERT INTO typed ({case.name}) VALUES ({literal}) RETURNING id".encode()).fetchone()
            assert row is not None
            expected[row[0]] = (case.name, literal, value)
    for way in (sinks.streamed, sinks.rebuilt):
        for warehouse, rows in way().items():
            assert [row["id"] for row in rows] == [1, *expected], (way, warehouse, sinks.unfit)
            assert {value for name, value in rows[0].items() if name not in OTHERS} == {None}
            for row in rows[1:]:
                name, literal, value = expected[row["id"]]
                assert same(row[name], value), (way, warehouse, name, literal, row[name])
                others = {each: got for each, got in row.items() if each not in (*OTHERS, name)}
                assert set(others.values()) == {None}
        assert sinks.changed() == {"delta": [], "bigquery": []}, way
    assert sinks.unfit == {}


def test_a_comparison_of_the_day_sees_another_value_of_any_column(owner: psycopg.Connection[Any], sinks: Sinks) -> None:
    """Each value is replaced by another one, by null, and null by a value."""
    cases = [(case.name, *pair) for case in EVERY_TYPE for pair in _pairs(case)]
    for name, literal, _ in cases:
        owner.execute(f"INSERT INTO typed ({name}) VALUES ({literal})".encode())
    sinks.streamed()
    assert sinks.unfit == {}
    for number, (name, _, other) in enumerate(cases, start=1):
        owner.execute(f"UPDATE typed SET {name} = {other} WHERE id = {number}".encode())
    owner.execute("UPDATE typed SET content_id = gen_random_uuid() WHERE id = 1")
    everything = list(range(1, len(cases) + 1))
    assert sinks.changed() == {"delta": everything, "bigquery": everything}
    assert {column.name for column in (*sinks.comparison.hashed, *sinks.comparison.plain)} == {
        *(case.name for case in EVERY_TYPE),
        "content_id",
        "event_ts",
    }


def _pairs(case: Carried) -> list[tuple[str, str]]:
    """Return literals with others of another value."""
    literals: dict[Any, str] = {}
    for literal, value in case.values:
        if value is not None:
            literals.setdefault(0.0 if value == 0 else repr(value), literal)  # zeros of both signs are the same
    chosen = [*literals.values(), "NULL"]
    return list(zip(chosen, [*chosen[1:], chosen[0]], strict=True))


def test_a_column_that_is_no_own_one_is_not_compared(owner: psycopg.Connection[Any], source_db: SourceDatabase) -> None:
    owner.execute("CREATE TABLE other (id bigint PRIMARY KEY, a_text text); GRANT SELECT ON other TO engagement_reader")
    enriched = (
        "SELECT typed.id, typed.event_ts, typed.a_text AS own, other.a_text, typed.an_int4 + 1 AS reckoned, "
        "typed.a_char::text AS cast_, typed.a_text::text AS no_cast FROM typed LEFT JOIN other ON other.id = typed.id"
    )
    assert own_columns(Origin(source_db.dsn, stream(enriched))) == {"id", "event_ts", "own", "no_cast"}


UNFIT = {
    "a_number": ("'NaN'", "'Infinity'", "1e29", "-1e29", "0.0000000001", "1e28 + 0.0000000001", "1e1000"),
    "a_price": ("'NaN'",),
    "a_date": ("'infinity'", "'-infinity'", "'0001-12-31 BC'", "'10000-01-01'"),
    "a_moment": ("'infinity'", "'-infinity'", "'0001-12-31 23:59:59.999999+00 BC'", "'10000-01-01 00:00:00+00'"),
    "a_json": (r"""'"\ud83d"'""", r"""'{"\ude00": 1}'""", r"""'["\ud83d\u0041"]'"""),
}


def test_what_no_line_can_hold_is_a_dead_letter_and_no_row_of_a_rebuild(
    owner: psycopg.Connection[Any], sinks: Sinks
) -> None:
    columns = [name for name, literals in UNFIT.items() for _ in literals]
    for name, literals in UNFIT.items():
        for literal in literals:
            owner.execute(f"INSERT INTO typed ({name}) VALUES ({literal})".encode())
    owner.execute("INSERT INTO typed (a_number) VALUES (1)")
    last = len(columns) + 1
    assert [[row["id"] for row in rows] for rows in sinks.streamed().values()] == [[last], [last]]
    assert list(sinks.unfit) == list(range(1, last))
    for number, name in enumerate(columns, start=1):
        assert name in sinks.unfit[number] or name == "a_json"
    assert "cast it in enriched.sql" in sinks.unfit[1]
    assert [[row["id"] for row in rows] for rows in sinks.rebuilt().values()] == [[last], [last]]
    assert sinks.changed() == {"delta": [], "bigquery": []}
    assert unfit_among(sinks.origin, sinks.schema, range(1, last + 1)) == set(range(1, last))


def _texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


_DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts(), inner, max_size=3),
    max_leaves=6,
)
_WIDE = 10**38 - 1
_EXACT = Context(prec=40)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "an_int2": st.integers(-(1 << 15), (1 << 15) - 1),
    "an_int8": st.integers(-(1 << 63), (1 << 63) - 1),
    "a_price": st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-2, context=_EXACT)),
    "a_number": st.integers(-_WIDE, _WIDE).map(lambda n: Decimal(n).scaleb(-9, context=_EXACT)),
    "a_float8": st.floats(),
    "a_text": _texts(),
    "a_bool": st.booleans(),
    "a_uuid": st.uuids(),
    "a_date": st.dates(),
    "a_moment": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
    "a_jsonb": _DOCUMENTS.map(Jsonb),
    "a_json": _DOCUMENTS.map(Json),
    "a_bytea": st.binary(max_size=20),
    "some_ints": st.lists(st.none() | st.integers(-(1 << 31), (1 << 31) - 1), max_size=4),
    "some_texts": st.lists(st.none() | _texts(), max_size=3),
}
_ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in _VALUES.items()}), min_size=1, max_size=12
)


def test_any_values_are_the_same_whichever_way_they_came(owner: psycopg.Connection[Any], sinks: Sinks) -> None:
    names, marks = ", ".join(_VALUES), ", ".join(f"%({name})s" for name in _VALUES)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=_ROWS)
    def check(drawn: list[dict[str, Any]]) -> None:
        owner.execute("TRUNCATE typed RESTART IDENTITY")
        with owner.cursor() as cursor:
            cursor.executemany(f"INSERT INTO typed ({names}) VALUES ({marks})", drawn)
        ways = [*sinks.streamed().values(), *sinks.rebuilt().values()]
        assert sinks.unfit == {}
        assert [len(rows) for rows in ways] == [len(drawn)] * 4
        for given_, *rows in zip(drawn, *ways, strict=True):
            for name in _VALUES:
                values = [row[name] for row in rows]
                assert all(same(values[0], value) for value in values), (name, values)
                if name in _AS_GIVEN:
                    expected = str(given_[name]) if name == "a_uuid" and given_[name] is not None else given_[name]
                    assert same(values[0], expected), (name, values[0], expected)
        assert sinks.changed() == {"delta": [], "bigquery": []}

    check()


_AS_GIVEN = set(_VALUES) - {"a_jsonb", "a_json", "some_ints", "some_texts"}
