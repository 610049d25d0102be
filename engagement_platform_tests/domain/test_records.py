"""A message is read by its schema, strictly; what types hold is tried against servers in `warehouse/test_types.py`."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.batches import Line, Lines, Rejected
from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.json_schema import json_schema_of
from engagement_platform.domain.records import Reader
from engagement_platform_tests.streams import ENGAGEMENT, ORDERS


def schema(**columns: str) -> Schema:
    given_ = {"number": "integer", "at": "timestamp"} | columns
    return Schema(tuple(Column(name, parsed(of)) for name, of in given_.items()), "number", "at", "number")


def message(**values: Any) -> bytes:
    return json.dumps({"number": 1, "at": "2026-03-01T00:00:00+00:00"} | values).encode()


def line(of: str, literal: str) -> Any:
    """Return what the line has for a literal of JSON in a column, or why there is no line."""
    made = Lines(schema(x=of)).of(message(x=0).replace(b'"x": 0', b'"x": ' + literal.encode()))
    return made.reason if isinstance(made, Rejected) else json.loads(made.json, parse_float=Decimal)["x"]


@pytest.mark.parametrize("name", ["class", "from", "None", "id", "json", "x" * 63, "__".join("ab")])
def test_a_column_may_have_any_name(name: str) -> None:
    made = Lines(schema(**{name: "text", "other": "json"})).of(message(**{name: "a", "other": [1]}))
    assert isinstance(made, Line)
    assert json.loads(made.json)[name] == "a"


@pytest.mark.parametrize(
    ("of", "literal"),
    [
        ("integer", "1.5"),
        ("integer", '"1"'),
        ("integer", "9223372036854775808"),
        ("numeric(5,2)", "1000"),
        ("numeric(5,2)", "0.001"),
        ("numeric(5,2)", '"NaN"'),
        ("numeric(5,2)", '"Infinity"'),
        ("numeric(38,9)", "1e400"),
        ("float", "1e400"),
        ("float", '"infinity"'),
        ("float", '"1.5"'),
        ("float", "true"),
        ("float", "[1]"),
        ("boolean", "1"),
        ("text", "1"),
        ("uuid", '"x"'),
        ("date", '"2026-02-30"'),
        ("date", '"infinity"'),
        ("timestamp", '"2026-03-01T00:00:00"'),
        ("timestamp", '"infinity"'),
        ("bytes", '"00ff"'),
        ("bytes", r'"\\x0"'),
    ],
)
def test_a_value_of_another_type_is_rejected_with_its_column(of: str, literal: str) -> None:
    assert "x" in line(of, literal).replace("not an event: Expected", "")
    assert line(of, literal).startswith("not an event: ")


@pytest.mark.parametrize(
    ("of", "literal", "value"),
    [
        ("numeric(5,2)", "1.50000", Decimal("1.50")),
        ("numeric(5,2)", "-0.00000", Decimal(0)),
        ("numeric(5,0)", "7.0", 7),
        ("float", "-0", "-0"),
        ("float", '"NaN"', "NaN"),
        ("bytes", r'"\\x00ff"', "AP8="),
        ("array of text", "[ 1, null]", "[ 1, null]"),
        ("json", "[" * 4000 + "]" * 4000, "[" * 4000 + "]" * 4000),
        ("jsonb", "null", None),
    ],
)
def test_a_line_has_what_the_warehouse_reads(of: str, literal: str, value: Any) -> None:
    assert line(of, literal) == value


@pytest.mark.parametrize("end", [b', "x": }', b', "x": [[}', b"", b"}"])
def test_a_message_that_is_no_event_has_the_id_that_it_begins_with(end: bytes) -> None:
    made = Lines(schema(x="text")).of(b'{"number": 12' + end)
    assert isinstance(made, Rejected)
    assert made.id == (12 if end else None)


@given(st.integers(1, 29), st.integers(0, 9), st.decimals(allow_nan=True, allow_infinity=True))
def test_a_number_is_never_rounded(before: int, after: int, number: Decimal) -> None:
    literal = format(number, "f") if number.is_finite() else f'"{number}"'
    got = line(f"numeric({before + after},{after})", literal)
    if not isinstance(got, str):
        assert number == got
        assert abs(number) < Decimal(10) ** before
    else:
        assert not number.is_finite() or number.adjusted() >= before or number.normalize().as_tuple().exponent < -after  # type: ignore[operator]


def test_the_packaged_stream_s_records_have_its_columns() -> None:
    record = Reader(ENGAGEMENT).decode(b'{"id": 1, "event_ts": "2026-03-01T00:00:00Z"}')
    assert record.__struct_fields__ == ENGAGEMENT.names


def test_the_json_schema_says_names_types_and_meanings() -> None:
    stream = replace(ORDERS, meanings={"x": "How much."})
    made = json_schema_of(stream, schema(x="numeric(5,2)", y="json", z="array of text"))
    assert list(made["properties"]) == made["required"] == ["number", "at", "x", "y", "z"]
    assert made["properties"]["x"] == {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "How much."}
    assert made["properties"]["at"] == {"type": "string", "format": "date-time"}
    assert made["properties"]["y"] == {}
    assert made["additionalProperties"] is True


numbers = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=12).map(tuple),
    st.integers(-6, 3),
)


@given(st.lists(numbers, max_size=12))
def test_whether_a_number_fits_does_not_depend_on_those_before_it(decimals: list[Decimal]) -> None:
    column = Column("n", parsed("numeric(8,3)"))
    schema = replace(ENGAGEMENT, columns=(*ENGAGEMENT.columns, column))
    lines = Lines(schema)
    for number in decimals:
        value = (
            json.dumps({"id": 1, "event_ts": "2026-01-01T00:00:00Z", "n": "~"}).replace('"~"', f"{number:f}").encode()
        )
        assert lines.of(value) == Lines(schema).of(value)
