from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.errors import Refused, StreamStopped
from engagement_platform.domain.source_tables import (
    Column,
    Elsewhere,
    Fault,
    Form,
    Sight,
    Table,
    error_of,
    faults,
)
from engagement_platform_tests.streams import PACKAGED

TABLES = PACKAGED.tables

ORDINARY = {
    Form.WHOLE: Column("bigint", "N", readable=True),
    Form.UUID: Column("uuid", "U", readable=True),
    Form.TEXT: Column("text", "S", readable=True),
    Form.TIME: Column("timestamp with time zone", "D", readable=True),
    Form.JSON: Column("jsonb", "U", readable=True),
}
FIT = Sight(
    "reader",
    "public",
    {
        name: Table(name, filtered=False, owned=False, columns={c.name: ORDINARY[c.form] for c in columns})
        for name, columns in TABLES.items()
    },
    {},
)
COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]


def with_table(sight: Sight, name: str, **changes: object) -> Sight:
    return replace(sight, tables=dict(sight.tables) | {name: replace(sight.tables[name], **changes)})  # type: ignore[arg-type]


def with_column(table: str, name: str, column: Column | None) -> Sight:
    columns = {key: value for key, value in FIT.tables[table].columns.items() if key != name}
    return with_table(FIT, table, columns=columns | ({} if column is None else {name: column}))


def test_what_is_as_it_must_be_has_no_fault() -> None:
    assert faults(FIT, TABLES) == []
    assert error_of([]) is None


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_column_that_is_missing_is_named_with_the_statement(table: str, column: object) -> None:
    name = column.name  # type: ignore[attr-defined]
    (fault,) = faults(with_column(table, name, None), TABLES)
    assert fault.what == f"The source lacks column {name} of {table}."
    assert f"ALTER TABLE {table} RENAME COLUMN … TO {name}" in fault.todo
    assert isinstance(error_of([fault]), StreamStopped)


@given(st.sampled_from(COLUMNS), st.sampled_from(["date", "double precision", "numeric", "json", "inet", "boolean"]))
def test_a_type_of_another_form_is_named_with_the_one_that_is_needed(at: tuple[str, object], type_name: str) -> None:
    table, column = at
    name, form = column.name, column.form  # type: ignore[attr-defined]
    (fault,) = faults(with_column(table, name, Column(type_name, "X", readable=True)), TABLES)
    assert fault.what == f"The source's column {name} of {table} is {type_name}, it must be {form.value}."
    assert f"ALTER COLUMN {name} TYPE {form.value} USING" in fault.todo


@pytest.mark.parametrize("type_name", ["smallint", "integer", "bigint"])
def test_whole_numbers_of_any_width_will_do(type_name: str) -> None:
    assert Form.WHOLE.accepts(type_name, "N")


@pytest.mark.parametrize("category", ["S", "E"])
def test_whatever_is_read_as_text_will_do(category: str) -> None:
    assert Form.TEXT.accepts("public.kind_of_event", category)


def test_a_right_that_is_missing_is_a_refusal_and_beside_another_fault_a_stop() -> None:
    unreadable = with_column("content", "slug", Column("text", "S", readable=False))
    found = faults(unreadable, TABLES)
    assert found[0].todo == "Ask the owner to run: GRANT SELECT ON content TO reader"
    assert isinstance(error_of(found), Refused)
    both = error_of([*found, Fault("Something.", "Mend it")])
    assert isinstance(both, StreamStopped)
    assert "Something." in str(both)
    assert "GRANT SELECT" in str(both)
    assert "Mend it." in str(both)


def test_rows_that_would_be_hidden_are_told_to_whom_it_matters() -> None:
    (fault,) = faults(with_table(FIT, "engagement_events", filtered=True), TABLES)
    assert "ALTER ROLE reader BYPASSRLS" in fault.todo
    (own,) = faults(with_table(FIT, "engagement_events", filtered=True, owned=True), TABLES)
    assert "NO FORCE ROW LEVEL SECURITY" in own.todo


def test_a_table_out_of_sight_is_looked_for_in_other_schemas() -> None:
    gone = replace(FIT, tables={"content": FIT.tables["content"]})
    (nowhere,) = faults(gone, TABLES)
    assert "lacks table engagement_events: it is in no schema of the search_path (public)." in nowhere.what
    (elsewhere,) = faults(replace(gone, elsewhere={"engagement_events": (Elsewhere("media", usable=True),)}), TABLES)
    assert "ALTER ROLE reader SET search_path = public, media" in elsewhere.todo
    assert not elsewhere.is_right
    (closed,) = faults(replace(gone, elsewhere={"engagement_events": (Elsewhere("media", usable=False),)}), TABLES)
    assert "GRANT USAGE ON SCHEMA media TO reader" in closed.todo
    assert closed.is_right
