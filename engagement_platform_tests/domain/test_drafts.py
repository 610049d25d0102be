"""The folder that is written for a table can be read, whatever its columns are called and said to mean."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.sql import bare, identifier
from engagement_platform.domain.columns import Base, Column, Schema, Type, faults_of
from engagement_platform.domain.drafts.draft import draft_of
from engagement_platform.domain.drafts.texts import files_of
from engagement_platform.domain.drafts.values import ColumnFacts, ForeignKey, SourceFacts, TableFacts, Wishes, is_of
from engagement_platform.domain.event_stream import flaws_of, stream_of
from engagement_platform.domain.stream_rules import flaws_of_columns, meanings_left_over, meanings_to_write

NAMES = st.sampled_from(
    [
        "a",
        "A",
        "order",
        "größe",
        "two words",
        'quo"te',
        "event_date",
        "customer_id",
        "name",
        "email",
        "country",
        "status",
        "day",
        "Events",
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TYPES = st.sampled_from(
    [Type(base) for base in (Base.INTEGER, Base.TEXT, Base.BOOLEAN, Base.UUID, Base.JSONB, Base.FLOAT, Base.TIMESTAMP)]
    + [Type(Base.NUMERIC, 10, 2), None]
)


@st.composite
def columns(draw: Any, taken: tuple[str, ...]) -> list[ColumnFacts]:
    names = draw(st.lists(NAMES.filter(lambda name: name not in taken), unique=True, max_size=8))
    made = []
    for name in names:
        of = draw(TYPES)
        made.append(
            ColumnFacts(
                name,
                identifier(name),
                "any",
                draw(st.booleans()),
                "",
                " ".join(draw(TEXTS).split()),
                draw(st.booleans()),
                of,
                "" if of else "{}::text",
                "" if of else "which warehouses have no type for",
                values=draw(st.integers(0, 300)),
            )
        )
    return made


@st.composite
def facts(draw: Any) -> SourceFacts:
    number = ColumnFacts("no", "no", "bigint", True, "", "", True, Type(Base.INTEGER))
    time = ColumnFacts("at", "at", "timestamptz", True, "now()", "", True, Type(Base.TIMESTAMP))
    own = draw(columns(("no", "at")))
    rows = draw(st.sampled_from([0, 3, 10_000]))
    table = TableFacts("shop.t", "t", draw(TEXTS), True, False, "reader", (number, time, *own), (("no",),), rows)
    keys = []
    for column in own:
        if column.readable and draw(st.booleans()):
            there = ColumnFacts("key", "key", "any", True, "", "", True, column.type)
            target = TableFacts(
                'shop."O t"', '"O t"', "", draw(st.booleans()), False, "reader", (there, *draw(columns(("key",))))
            )
            keys.append(ForeignKey((column.name,), ("key",), target))
    return SourceFacts(table, ("no",), frozenset({"no"}), tuple(keys))


@given(facts())
def test_what_is_written_can_be_read_and_fits_itself(found: SourceFacts) -> None:
    draft = draft_of(found, Wishes())
    files = files_of(draft)
    toml = tomllib.loads(files["stream.toml"])
    (mart,) = (name for name in files if name.startswith("marts/"))
    assert flaws_of(toml, [mart.removeprefix("marts/").removesuffix(".sql")]) == []
    stream = stream_of(toml, bare(files["enriched.sql"]), {}, "stream.toml")
    schema = Schema(
        tuple(Column(each.name, each.column.type or Type(Base.TEXT)) for each in draft.selected), "no", "at", stream.key
    )
    assert faults_of(schema) == []
    assert flaws_of_columns(stream, schema) == []
    assert meanings_to_write(stream, schema) == []
    assert meanings_left_over(stream, schema) == []
    assert 1 <= len(stream.views.dimensions) <= 5
    led = {name for key in found.foreign_keys for name in key.columns}
    for each in draft.selected:
        if each.column.name == "email":
            assert is_of(each.column, Base.BOOLEAN) or each.column.name in led
    lines = files[mart].split("SELECT\n")[1].split("\nFROM ")[0].split("\n")
    given_names = [line.rstrip(",").rsplit(" ", 1)[-1].strip("`").lower() for line in lines]
    assert len(given_names) == len(set(given_names))
