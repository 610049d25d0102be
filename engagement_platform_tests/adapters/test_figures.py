"""The figures of a day: rows that differ are told apart, however the batches are cut."""

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.figures import Figures, Measured, figures_of
from engagement_platform.domain.columns import Base, Column, Type
from engagement_platform.domain.reconciliation import Comparison

COMPARISON = Comparison(
    measures=(Column("cents", Type(Base.INTEGER)), Column("weight", Type(Base.NUMERIC, 18, 0))),
    hashed=(Column("name", Type(Base.TEXT)),),
    plain=(Column("share", Type(Base.FLOAT)), Column("price", Type(Base.NUMERIC, 38, 9))),
)
ROW = {"digest": "0123456789abcdef", "p0": 0.5, "p1": Decimal("1.5"), "m0": 7, "m1": Decimal(3)}
_SCHEMA = pa.schema(
    {"id": pa.int64(), "m0": pa.int64(), "m1": pa.decimal128(38, 9), "digest": pa.string(), "p0": pa.float64()}
)
OF_TABLE = _SCHEMA.append(pa.field("p1", pa.decimal128(38, 9)))
OF_SOURCE = _SCHEMA.append(pa.field("p1", pa.string()))


def read(*rows: dict[str, Any], schema: pa.Schema = OF_TABLE, at_once: int = 100) -> Figures:
    numbered = [ROW | {"id": number} | row for number, row in enumerate(rows, start=1)]
    return figures_of(pa.Table.from_pylist(numbered, schema).to_batches(max_chunksize=at_once), COMPARISON)


def test_numerics_are_the_same_as_text_and_as_decimals() -> None:
    prices = ["1.500000000", "-0.000000001", "9" * 29 + "." + "9" * 9, None]
    table = read(*({"p1": None if price is None else Decimal(price)} for price in prices))
    assert read(*({"p1": price} for price in prices), schema=OF_SOURCE).marks.tolist() == table.marks.tolist()
    assert len(set(table.marks.tolist())) == 4


def test_every_nan_is_one_and_so_are_the_zeros() -> None:
    marks = read({"p0": math.nan}, {"p0": -math.nan}, {"p0": 0.0}, {"p0": -0.0}, {"p0": None}, {"p0": math.inf})
    assert [marks.marks.tolist().index(mark) for mark in marks.marks.tolist()] == [0, 0, 2, 2, 4, 5]


digests = st.text("0123456789abcdef", min_size=16, max_size=16)
rows = st.fixed_dictionaries(
    {
        "digest": digests,
        "p0": st.none() | st.floats(allow_nan=False).filter(lambda share: str(share) != "-0.0"),
        "p1": st.none() | st.decimals(-(10**20), 10**20, places=9),
    }
)


@given(st.lists(rows, min_size=1, max_size=20), st.integers(1, 5))
def test_rows_have_one_mark_just_when_they_are_the_same(drawn: list[dict[str, Any]], at_once: int) -> None:
    marks = read(*drawn, at_once=at_once).marks.tolist()
    assert marks == [mark for row in drawn for mark in read(row).marks.tolist()]
    distinct = {(row["digest"], row["p0"], row["p1"]) for row in drawn}
    assert len(set(marks)) == len(distinct)


def test_a_null_is_no_zero_and_sums_are_exact_beyond_64_bits() -> None:
    highest = 2**63 - 1
    figures = read({"m0": highest}, {"m0": highest}, {"m0": None}, {"m0": -5})
    cents, weight = figures.measures
    assert cents.sum() == 2 * highest - 5
    assert weight.sum() == 12
    zero = read({"m0": highest}, {"m0": highest}, {"m0": 0}, {"m0": -5}).measures[0]
    assert cents.differs(zero).tolist() == [False, False, True, False]


def test_a_day_without_events_has_empty_figures() -> None:
    figures = figures_of([], COMPARISON, is_table=True)
    assert len(figures.ids) == len(figures.marks) == 0
    assert [measure.sum() for measure in figures.measures] == [0, 0]
    assert isinstance(figures.measures[0], Measured)
