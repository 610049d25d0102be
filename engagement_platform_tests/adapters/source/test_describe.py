"""The columns of a stream come from PostgreSQL, and what cannot be one is refused with what mends it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import describe
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain.columns import Column, Schema, Type, parsed
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.event_stream import EventStream
from engagement_platform_tests.adapters.source.typed import EVERY_TYPE, MAKE_TYPES, make_table, stream
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streams import ENGAGEMENT, PACKAGED


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        yield connection


def described(source: SourceDatabase, of: EventStream) -> Schema:
    with closing(session.connect(source.dsn, "test")) as connection:
        return describe(Origin(source.dsn, of), connection)


def refusal(source: SourceDatabase, of: EventStream) -> str:
    with pytest.raises(StreamStopped) as stopped:
        described(source, of)
    assert f"enriched.sql of the stream {of.name} cannot be used" in stopped.value.what
    return stopped.value.what


def test_each_type_has_its_name_whatever_the_table_has_in_it(
    source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(make_table().encode())
    schema = described(source_db, stream())
    fixed = (("id", "integer"), ("content_id", "uuid"), ("event_ts", "timestamp"))
    assert schema.columns[:3] == tuple(Column(name, parsed(of)) for name, of in fixed)
    assert schema.columns[3:] == tuple(Column(case.name, case.type) for case in EVERY_TYPE)


def test_the_packaged_stream_s_form_is_the_one_that_postgresql_describes(source_db: SourceDatabase) -> None:
    assert described(source_db, PACKAGED) == ENGAGEMENT


def test_no_row_is_read(source_db: SourceDatabase, owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "CREATE FUNCTION burnt() RETURNS timestamptz VOLATILE LANGUAGE plpgsql AS $$ BEGIN RAISE 'read'; END $$"
    )
    schema = described(source_db, stream("SELECT 1::int8 AS id, burnt() AS event_ts"))
    assert schema.names == ("id", "event_ts")


WIDER = (
    "ALTER TABLE engagement_events ALTER duration_ms TYPE bigint",
    "ALTER TABLE engagement_events ALTER device TYPE varchar(40)",
    "ALTER TABLE engagement_events ALTER event_ts TYPE timestamptz(0)",
    "ALTER TABLE engagement_events ADD COLUMN more text",
)


@pytest.mark.parametrize("statement", WIDER)
def test_a_change_that_leaves_the_messages_leaves_the_schema(
    source_db: SourceDatabase, owner: psycopg.Connection[Any], statement: str
) -> None:
    before = described(source_db, PACKAGED)
    owner.execute(statement.encode())
    assert described(source_db, PACKAGED) == before


REFUSED = {
    "now()::timestamp": (
        "timestamp without time zone, which has no zone",
        "x AT TIME ZONE 'UTC' (or the zone that its values are in) AS x",
    ),
    "interval '1 day'": ("interval", "extract(epoch FROM x) AS x"),
    "1::money": ("money", "x::numeric(20,2) AS x"),
    "'10.0.0.1'::inet": ("inet", "x::text AS x"),
    "time '12:00'": ("time without time zone", "x::text AS x"),
    "int4range(1, 2)": ("int4range", "x::text AS x"),
    "xmlparse(CONTENT 'a')": ("xml", "x::text AS x"),
    "B'101'": ("bit", "x::text AS x"),
    "'a'::\"char\"": ('"char"', "x::text AS x"),
    "point(1, 2)": ("point", "x::text AS x"),
    "'1'::oid": ("oid", "x::bigint AS x"),
    "1::numeric(60,20)": ("numeric(60,20), more than", "x::numeric(38,9) AS x"),
    "1::numeric(38,10)": ("numeric(38,10), more than", "x::numeric(38,9) AS x"),
    "1::numeric(30,0)": ("numeric(30,0), more than", "x::numeric(38,9) AS x"),
    "1::numeric(29,-1)": ("numeric(29,-1), more than", "x::numeric(38,9) AS x"),
    "ARRAY[now()::timestamp]": ("an array of what is timestamp", "to_jsonb(x) AS x"),
    "ROW(1, 2)": ("record, a row of several columns", "to_jsonb(x) AS x"),
    "content": ("content, a row of several columns", "to_jsonb(x) AS x"),
    "'1 2'::int2vector": ("int2vector", "x::text AS x"),
}


@pytest.mark.parametrize("expression", REFUSED)
def test_a_type_that_cannot_be_carried_is_refused_and_the_cast_mends_it(
    source_db: SourceDatabase, owner: psycopg.Connection[Any], expression: str
) -> None:
    statement = "SELECT 1::int8 AS id, now() AS event_ts, {} FROM (SELECT {} AS x FROM content) AS content"
    why, cast = REFUSED[expression]
    said = refusal(source_db, stream(statement.format("x", expression)))
    assert f"its column x is {why}" in said
    assert f"write {cast}" in said
    mended = cast.removesuffix(" (or the zone that its values are in) AS x")
    described(source_db, stream(statement.format(mended.removesuffix(" AS x") + " AS x", expression)))


def test_every_column_that_cannot_be_carried_is_named_at_once(source_db: SourceDatabase) -> None:
    said = refusal(source_db, stream("SELECT 1 AS id, now() AS event_ts, '::1'::inet AS a, now()::time AS b"))
    assert "its column a is inet" in said
    assert "its column b is time" in said


UNUSABLE = {
    "SELECT 1 AS id,\n\n       now() AS event_ts,\n  FROM content": "line 4 (FROM content): syntax error at or near",
    "SELECT 1 AS id,\n  now() AS event_ts,\n  slag FROM content": 'line 3 (slag FROM content): column "slag" does not',
    "SELECT id,\n now() AS event_ts FROM contents": 'relation "contents" does not exist',
    "SELECT 1 AS id; SELECT 2": "cannot insert multiple commands",
    "DELETE FROM content RETURNING 1 AS id": "syntax error",
    "SET work_mem = 1": "no SELECT that returns columns",
    "": "no SELECT that returns columns",
    "SELECT now() AS event_ts, 1 AS a": "no column id, the id of the source's table",
    "SELECT 1 AS id": "no column event_ts, the time of the source's table",
    "SELECT 1 AS id, now() AS event_ts, 2 AS id": "the column id more than once",
    'SELECT 1 AS id, now() AS event_ts, 2 AS a, 3 AS "A"': "the column a more than once",
    "SELECT '1' AS id, now() AS event_ts": "its column id, the id, is text: it must be bigint",
    "SELECT 1 AS id, current_date AS event_ts": "its column event_ts, the time, is date: it must be timestamptz",
    "SELECT 1 AS id, now() AS event_ts, count(*) + 1": "its column ?column? has a name that warehouses do not take",
    'SELECT 1 AS id, now() AS event_ts, 1 AS "größe"': "its column größe has a name that warehouses do not take",
    "SELECT 1 AS id, now() AS event_ts, 1 AS _partitiontime": "_partitiontime has a name that warehouses do not take",
    "SELECT 1 AS id, now() AS event_ts, current_date AS event_date": "event_date has a name that the warehouse uses",
    "SELECT 1 AS id) AS a, (SELECT now() AS event_ts": "syntax error",
}


@pytest.mark.parametrize("enriched", UNUSABLE)
def test_what_is_wrong_with_a_statement_is_said_with_its_line(source_db: SourceDatabase, enriched: str) -> None:
    assert UNUSABLE[enriched] in refusal(source_db, stream(enriched))


def test_a_key_has_to_be_a_column(source_db: SourceDatabase) -> None:
    said = refusal(source_db, stream("SELECT 1 AS id, now() AS event_ts", key="customer"))
    assert "no column customer, the message's key" in said


def test_the_connection_goes_on_behind_a_refusal(source_db: SourceDatabase) -> None:
    with closing(session.connect(source_db.dsn, "test")) as connection:
        for _ in range(2):
            with pytest.raises(StreamStopped):
                describe(Origin(source_db.dsn, stream("SELEC")), connection)
            assert len(describe(Origin(source_db.dsn, PACKAGED), connection).columns) == 14
        with connection.transaction():
            with pytest.raises(StreamStopped):
                describe(Origin(source_db.dsn, stream("SELEC")), connection)
            assert len(describe(Origin(source_db.dsn, PACKAGED), connection).columns) == 14


def test_a_statement_may_end_in_a_comment_or_begin_with_a_name_for_a_part(source_db: SourceDatabase) -> None:
    enriched = "WITH one AS (SELECT 1 AS id, now() AS event_ts)\nSELECT * FROM one -- everything"
    assert described(source_db, stream(enriched)).names == ("id", "event_ts")


def test_types_of_other_schemas_are_found(source_db: SourceDatabase, owner: psycopg.Connection[Any]) -> None:
    owner.execute(f"CREATE SCHEMA hidden; SET search_path = hidden; {MAKE_TYPES}".encode())
    enriched = "SELECT 1 AS id, now() AS event_ts, 'glad'::hidden.mood AS x"
    owner.execute("GRANT USAGE ON SCHEMA hidden TO engagement_reader")
    assert described(source_db, stream(enriched)).column("x").type == Type(parsed("text").base)


def test_the_scale_of_the_packaged_stream_s_numbers_changed_no_byte(owner: psycopg.Connection[Any]) -> None:
    """They were rounded before; now they are cast to the type that the warehouse has."""
    differing = owner.execute(
        "SELECT ms, length FROM unnest(%s::bigint[]) AS ms, unnest(%s::bigint[]) AS length"
        " WHERE to_json(round(ms::numeric / 1000, 2))::text <> to_json((ms::numeric / 1000)::numeric(18,2))::text"
        "    OR to_json(round(ms::numeric / 1000 / length, 2))::text"
        "    <> to_json((ms::numeric / 1000 / length)::numeric(18,2))::text",
        (
            [*range(-2_000, 2_001), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 10**18, 999_999_999_999_999_995],
            [-(2**63), -7, 1, 2, 3, 7, 1_005, 2**31 - 1, 2**63 - 1],
        ),
    ).fetchall()
    assert differing == []
