"""The columns of a stream as a value, without a server."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.columns import Base, Column, Schema, Type, decoded, encoded, faults_of, joined, parsed
from engagement_platform.domain.source_types import SourceType, Uncarried, type_of
from engagement_platform_tests.streams import ENGAGEMENT

plain = st.sampled_from([base for base in Base if base not in (Base.NUMERIC, Base.ARRAY)]).map(Type)
numerics = st.builds(
    lambda before, after: Type(Base.NUMERIC, before + after, after), st.integers(0, 29), st.integers(1, 9)
)
types = plain | numerics | st.builds(lambda of: Type(Base.ARRAY, element=of), plain | numerics)
schemas = st.builds(
    lambda of: Schema(tuple(Column(f"c{i}", one) for i, one in enumerate(of)), "c0", "c1", "c2"),
    st.lists(types, min_size=1, max_size=6),
)


@given(schemas)
def test_a_schema_is_kept_as_text(schema: Schema) -> None:
    assert decoded(encoded(schema)) == schema
    assert decoded(encoded(schema)).hash == schema.hash


@given(schemas, schemas)
def test_two_schemas_have_two_hashes(one: Schema, other: Schema) -> None:
    assert (one.hash == other.hash) == (one == other)


def test_the_hash_of_the_packaged_stream_s_first_form_stays() -> None:
    """It stands in the platform's database."""
    assert ENGAGEMENT.hash == "9425e4a57adce1b2"


@pytest.mark.parametrize("text", ["numeric", "numeric(1)", "array of", "array of nothing", "int", ""])
def test_what_is_no_type_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        parsed(text)


@given(st.integers(1, 1000), st.integers(-1000, 1000))
def test_a_numeric_is_carried_with_all_its_digits_or_refused(precision: int, scale: int) -> None:
    catalog = {1: SourceType("numeric", "numeric", "b", "N")}
    modifier = ((precision << 16) | (scale & 0x7FF)) + 4
    before, after = max(precision - scale, 0), max(scale, 0)
    try:
        of = type_of(1, modifier, catalog, "x")
    except Uncarried:
        assert before > 29 or after > 9
    else:
        assert (of.precision, of.scale) == (before + after, after)
        assert before <= 29
        assert after <= 9


def test_the_packaged_stream_has_no_fault() -> None:
    assert faults_of(ENGAGEMENT) == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": "integer"}, "no column event_ts"),
        ({"id": "integer", "event_ts": "timestamp", "ID": "text"}, "the column id more than once"),
        ({"id": "numeric(5,0)", "event_ts": "timestamp"}, "its column id, the id, is numeric(5,0): it must be bigint"),
        ({"id": "integer", "event_ts": "timestamp", "a b": "text"}, "a b has a name that warehouses do not take"),
        ({"id": "integer", "event_ts": "timestamp", "Event_Date": "date"}, "that the warehouse uses itself"),
    ],
)
def test_what_cannot_be_a_stream_is_said(columns: dict[str, str], said: str) -> None:
    made = tuple(Column(name, parsed(of)) for name, of in columns.items())
    faults = faults_of(replace(ENGAGEMENT, columns=made, key="id"))
    assert any(said in fault for fault in faults), faults


def form(**columns: str) -> Schema:
    fixed = {"id": "integer", "event_ts": "timestamp"} | columns
    return Schema(tuple(Column(name, parsed(of)) for name, of in fixed.items()), id="id", time="event_ts", key="id")


def test_forms_together_have_every_column_that_was_ever_there() -> None:
    first, second, third = form(a="text", b="text"), form(c="jsonb", a="text"), form(d="bytes", c="jsonb")
    assert joined([first]) == first
    assert joined([first, second, third]) == form(a="text", b="text", c="jsonb", d="bytes")
