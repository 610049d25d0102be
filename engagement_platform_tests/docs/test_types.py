"""docs/types.md says of each type what the code does."""

import re
from pathlib import Path

import pytest

from engagement_platform.adapters.warehouse.schema import arrow_type
from engagement_platform.domain.columns import NUMERIC_PRECISION, NUMERIC_SCALE, Base, Schema, Type, parsed
from engagement_platform.domain.columns import Column as StreamColumn
from engagement_platform.domain.source_types import SourceType, Uncarried, type_of
from engagement_platform.domain.stream_table import table_of
from engagement_platform_tests.adapters.source.typed import EVERY_TYPE, stream

PAGE = (Path(__file__).parents[2] / "docs" / "types.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


TABLE = rows("The table of types")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[1])
def test_a_row_of_the_table_is_what_the_warehouse_s_column_is(row: list[str]) -> None:
    _, here, _, delta, bigquery = row
    of = parsed(here.strip("`").replace("p,s", "18,2").replace("…", "text"))
    schema = Schema((StreamColumn("x", of),), "id", "at", "x")
    [column] = table_of(stream(), schema).columns
    assert str(arrow_type(column)) == delta.replace("p, s", "18, 2")
    assert column.kind.value == bigquery


def test_every_type_is_in_the_table() -> None:
    assert {re.split(r"[ (]", row[1].strip("`"))[0] for row in TABLE} == {str(base) for base in Base}


@pytest.mark.parametrize("case", EVERY_TYPE, ids=lambda case: case.declared)
def test_every_type_that_is_tested_is_in_the_table(case: object) -> None:
    """The domains and enums of the tests are said in words."""
    declared, here = case.declared, case.type  # type: ignore[attr-defined]
    name = re.sub(r"\(.*\)", "", declared)
    words = {"mood": "enums", "cents": "numeric", "small_cents": "numeric", "code": "char", "ids": "arrays"}
    name = "arrays" if declared.endswith("[]") else words.get(name, name)
    assert any(re.search(rf"\b{name}\b", row[0]) and row[1].strip("`").startswith(str(here.base)) for row in TABLE), (
        declared
    )


def one(name: str, kind: str = "b", category: str = "X") -> dict[int, SourceType]:
    return {1: SourceType(name, name, kind, category)}


@pytest.mark.parametrize(
    ("catalog", "modifier", "cast"),
    [
        (one("timestamp"), -1, "x AT TIME ZONE 'UTC'"),
        (one("interval"), -1, "extract(epoch FROM x)"),
        (one("money"), -1, "x::numeric(20,2)"),
        (one("numeric"), ((60 << 16) | 20) + 4, "x::numeric(38,9)"),
        (one("shop", "c"), -1, "to_jsonb(x)"),
        (one("inet"), -1, "x::text"),
    ],
)
def test_a_cast_of_the_page_is_the_one_that_is_offered(
    catalog: dict[int, SourceType], modifier: int, cast: str
) -> None:
    with pytest.raises(Uncarried) as refusal:
        type_of(1, modifier, catalog, "x")
    assert refusal.value.cast.startswith(cast)
    assert f"`{cast} AS x`" in [row[1] for row in rows("What is refused")]


def test_the_page_says_how_much_a_numeric_holds() -> None:
    held = f"{NUMERIC_PRECISION - NUMERIC_SCALE} digits before the point\nand {NUMERIC_SCALE} after it"
    assert held in PAGE
    assert Type(Base.NUMERIC, NUMERIC_PRECISION, NUMERIC_SCALE) == parsed(TABLE[2][1].strip("`"))
