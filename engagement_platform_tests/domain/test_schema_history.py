"""What a schema is to those before it: one of them, the next one, or a stop with what mends it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.columns import Base, Column, Schema, Type, faults_of, parsed
from engagement_platform.domain.schema_history import (
    Change,
    SchemaHistory,
    change,
    takes_all,
)
from engagement_platform_tests.streams import ORDERS

FIXED = {"order_no": "integer", "placed_at": "timestamp", "customer_id": "integer"}


def schema(**columns: str) -> Schema:
    given_ = FIXED | columns
    return Schema(
        tuple(Column(name, parsed(of)) for name, of in given_.items()), "order_no", "placed_at", "customer_id"
    )


def history(*schemas: Schema) -> SchemaHistory:
    return SchemaHistory(dict(enumerate(schemas, 1)))


def refused(before: SchemaHistory, new: Schema, *, all_: bool = False) -> list[str]:
    return [f"{one.what}: {one.todo}" for one in change(before, new, takes_all=all_).refusals]


FIRST = schema(country="text", cents="integer")


def test_the_first_schema_is_taken_as_it_is() -> None:
    assert change(SchemaHistory({}), FIRST, takes_all=True) == Change()


def test_columns_come_and_go_and_change_places() -> None:
    assert change(history(FIRST), schema(country="text", cents="integer", coupon="text"), takes_all=True) == Change(
        added=("coupon (text)",)
    )
    assert change(history(FIRST), schema(cents="integer"), takes_all=True) == Change(gone=("country",))
    assert change(history(FIRST), schema(cents="integer", country="text"), takes_all=True) == Change()
    assert history(FIRST).number_of(schema(cents="integer", country="text")) is None


def test_a_formula_that_is_put_back_has_its_number_of_before() -> None:
    before = history(FIRST, schema(country="text"))
    assert change(before, FIRST, takes_all=True) == Change()
    assert before.number_of(FIRST) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_type_that_changes_is_refused_with_the_cast_of_before(number: int) -> None:
    """Also where the column was gone meanwhile: messages and table still have it."""
    before = history(*[FIRST, schema(country="text")][:number])
    [said] = refused(before, schema(country="text", cents="numeric(10,2)"))
    assert "cents was integer (schema 1), and is numeric(10,2)" in said
    assert "cents::bigint AS cents in enriched.sql" in said
    assert "AS cents_2" in said


def test_every_type_has_a_cast() -> None:
    bases = [of for of in Base if of not in (Base.NUMERIC, Base.ARRAY)]
    types = [Type(of) for of in bases] + [parsed("numeric(18,2)"), parsed("array of array of numeric(38,9)")]
    for of in types:
        other = Type(Base.TEXT) if of.base is not Base.TEXT else Type(Base.JSON)
        was = Schema((*FIRST.columns, Column("x", of)), FIRST.id, FIRST.time, FIRST.key)
        [said] = refused(history(was), replace(was, columns=(*FIRST.columns, Column("x", other))))
        assert "give it the type of before, with x::" in said


@pytest.mark.parametrize("role", ["id", "time", "key"])
def test_another_id_time_or_key_is_another_stream(role: str) -> None:
    new = Schema(FIRST.columns, **({"id": FIRST.id, "time": FIRST.time, "key": FIRST.key} | {role: "cents"}))
    [said] = refused(history(FIRST), new)
    assert f"the {role} was the column {getattr(FIRST, role)}, and is cents" in said
    assert f"name {getattr(FIRST, role)} in stream.toml again" in said


def test_names_that_warehouses_take_for_one_are_refused() -> None:
    [said] = refused(history(FIRST), schema(cents="integer", Country="text"))
    assert "Country differs from the column country of before only in capitals" in said
    assert "write AS country" in said


def test_a_column_renamed_at_the_source_is_told_where_the_statement_takes_its_names() -> None:
    new = schema(land="text", cents="integer")
    [said] = refused(history(FIRST), new, all_=True)
    assert "country (text) is gone, and land of the same type has come" in said
    assert "land AS country" in said
    assert not refused(history(FIRST), new), "whoever lists the columns has meant it"
    assert not refused(history(FIRST), schema(land="boolean", cents="integer"), all_=True)


A, B, A_B, B_A, A2_B = (schema(**dict.fromkeys(names.split(), "text")) for names in ("a", "b", "a b", "b a", "b a2"))


@pytest.mark.parametrize(
    ("before", "in_use", "new", "said"),
    [
        ([A, A_B], A, schema(a="text", note="text"), []),
        ([B_A, B], B_A, A2_B, ["a (text) is gone, and a2 of the same type has come"]),
        ([A_B, A], A, B, ["a (text) is gone, and b of the same type has come"]),
        ([A_B, A], A, A_B, []),
    ],
    ids=["another one went before", "it came back", "to a name of before", "one of before"],
)
def test_a_column_is_taken_for_renamed_by_the_schema_in_use(
    before: list[Schema], in_use: Schema, new: Schema, said: list[str]
) -> None:
    """Which need not be the one with the highest number."""
    change_ = change(history(*before), new, takes_all=True, in_use=in_use.hash)
    assert [one.what.partition(": ")[0] for one in change_.refusals] == said


def test_where_the_schema_in_use_is_not_known_it_is_the_highest_one() -> None:
    assert change(history(A_B, A), B, takes_all=True, in_use="lost") == change(history(A_B, A), B, takes_all=True)
    assert change(history(A_B, A), B, takes_all=True).refusals


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(refused(history(FIRST), schema(country="json", cents="text"))) == 2


@pytest.mark.parametrize(
    ("statement", "takes"),
    [
        ("SELECT * FROM shop.orders", True),
        ("SELECT o.*, c.name FROM shop.orders AS o JOIN c USING (id)", True),
        ("SELECT id,\n  * FROM o", True),
        ("select distinct on (a, b) * from o", True),
        ("SELECT (f(o)).* FROM o", True),
        ("TABLE shop.orders", True),
        ("SELECT a * b AS ab, count(*) OVER () AS n, (a + b) * c AS c, 2*a AS d FROM o", False),
        (ORDERS.enriched, False),
    ],
)
def test_a_statement_takes_the_source_s_names_where_it_has_a_star(statement: str, *, takes: bool) -> None:
    assert takes_all(replace(ORDERS, enriched=statement)) is takes


NAMES = st.sampled_from(["a", "b", "c", "d", "A"])
TYPES = st.sampled_from(["integer", "text", "numeric(10,2)", "jsonb"])


@given(st.lists(st.dictionaries(NAMES, TYPES), max_size=12), st.booleans())
def test_whatever_is_taken_one_list_of_columns_reads_all_of_it(forms: list[dict[str, str]], all_: bool) -> None:
    taken: dict[int, Schema] = {}
    for form in forms:
        new, before = schema(**form), SchemaHistory(dict(taken))
        if not faults_of(new) and before.number_of(new) is None and not refused(before, new, all_=all_):
            taken[before.highest + 1] = new
    if not taken:
        return
    kept = SchemaHistory(taken)
    types = {column.name: column.type for column in kept.whole.columns}
    assert len({name.lower() for name in types}) == len(kept.whole.columns) == len(types)
    for number, one in taken.items():
        assert {column.name: column.type for column in one.columns}.items() <= types.items()
        assert kept.number_of(one) == number
        assert kept.number_with(one.names) == number
        assert not change(kept, one, takes_all=all_).refusals, "it may come back at any time"
    assert kept.whole.names[: len(taken[1].names)] == taken[1].names, "columns stay where they were"
