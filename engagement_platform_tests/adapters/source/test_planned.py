"""A read whose plan is kept says what one that is planned at this moment says, whatever was changed between."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters import sql
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.reader import Source, open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.ids import IdRange
from engagement_platform_tests.adapters.source import typed
from engagement_platform_tests.conftest import SourceDatabase

LIMITS = Limits(rows=100, bytes=1 << 24, message_bytes=1 << 20)
MAKE = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE DOMAIN cents AS numeric(10,2);
CREATE FUNCTION doubled(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE TABLE typed (id bigserial PRIMARY KEY, event_ts timestamptz NOT NULL DEFAULT '2026-03-01 12:00+00',
                    a_mood mood DEFAULT 'glad', a_price cents DEFAULT 1.5, a_text varchar(8) DEFAULT 'x');
CREATE TABLE names (id bigint PRIMARY KEY, name text);
CREATE VIEW named AS SELECT id, name FROM names;
CREATE SCHEMA early;
GRANT SELECT ON typed, names, named TO engagement_reader;
GRANT USAGE ON SCHEMA early TO engagement_reader;
INSERT INTO typed DEFAULT VALUES;
INSERT INTO names VALUES (1, 'one');
ALTER ROLE engagement_reader IN DATABASE {database} SET search_path = early, public;
"""
ENRICHED = """
SELECT event.*, doubled(event.a_price)::numeric(10,2) AS twice, named.name
  FROM typed AS event LEFT JOIN named ON named.id = event.id
"""
CHANGES = {
    "a column is added": "ALTER TABLE typed ADD one_more text DEFAULT 'y'",
    "a column is dropped": "ALTER TABLE typed DROP a_text",
    "a column is renamed": "ALTER TABLE typed RENAME a_text TO another",
    "columns take each other's names": "ALTER TABLE typed RENAME a_text TO t; ALTER TABLE typed ADD a_text bigint",
    "a column that the statement names is renamed": "ALTER TABLE typed RENAME a_price TO a_cost",
    "a type": "ALTER TABLE typed ALTER a_text DROP DEFAULT; ALTER TABLE typed ALTER a_text TYPE bigint USING 7",
    "a length": "ALTER TABLE typed ALTER a_text TYPE varchar(9)",
    "a scale below a domain": "ALTER TABLE typed ALTER a_price TYPE numeric(12,4)",
    "a domain": "CREATE DOMAIN euros AS numeric(10,3); ALTER TABLE typed ALTER a_price TYPE euros",
    "a constraint of a domain": "ALTER DOMAIN cents ADD CHECK (VALUE > 0)",
    "a label more": "ALTER TYPE mood ADD VALUE 'calm'",
    "a label is renamed": "ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'",
    "an enum is renamed": "ALTER TYPE mood RENAME TO feeling",
    "a view is replaced": "CREATE OR REPLACE VIEW named AS SELECT id, 'the ' || name AS name FROM names",
    "a view of another type": "DROP VIEW named; CREATE VIEW named AS SELECT id, length(name) AS name FROM names;"
    " GRANT SELECT ON named TO engagement_reader",
    "a view is gone": "DROP VIEW named",
    "a function is replaced": "CREATE OR REPLACE FUNCTION doubled(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE"
    " AS 'SELECT 4 * $1'",
    "a function returns another type": "DROP FUNCTION doubled; CREATE FUNCTION doubled(numeric) RETURNS text"
    " LANGUAGE sql AS 'SELECT ''8'''",
    "a table in an earlier schema": "CREATE TABLE early.typed (LIKE public.typed INCLUDING ALL);"
    " GRANT SELECT ON early.typed TO engagement_reader; INSERT INTO early.typed DEFAULT VALUES",
    "another table under the name": "ALTER TABLE typed RENAME TO old; CREATE TABLE typed (LIKE old INCLUDING ALL);"
    " GRANT SELECT ON typed TO engagement_reader; INSERT INTO typed DEFAULT VALUES",
    "a child of the table": "CREATE TABLE child () INHERITS (typed); INSERT INTO child (id) VALUES (100)",
    "row security": "ALTER TABLE typed ENABLE ROW LEVEL SECURITY",
    "the right to read": "REVOKE SELECT ON typed FROM engagement_reader",
    "the right to a function": "REVOKE EXECUTE ON FUNCTION doubled FROM PUBLIC",
    "the sequence is renamed": "ALTER SEQUENCE typed_id_seq RENAME TO numbers",
    "the sequence begins again": "ALTER SEQUENCE typed_id_seq RESTART",
    "the table is emptied": "TRUNCATE typed",
}


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        connection.execute(MAKE.replace("{database}", connection.info.dbname).encode())
        yield connection
        connection.execute(f"ALTER ROLE engagement_reader IN DATABASE {connection.info.dbname} RESET ALL".encode())


def outcome(source: Source) -> object:
    """Return what a read brings, and what its rows are said to be of."""
    try:
        rows = source.read(0, [], LIMITS)
        return rows, source.schema
    except EngagementError as error:
        return type(error), str(error)


def test_a_plan_that_is_kept_notices_every_change_that_a_new_one_notices(
    owner: psycopg.Connection[Any], source_db: SourceDatabase
) -> None:
    """Each change is made and undone beside two sources, of which one has read before it, and so has a plan."""
    origin = Origin(source_db.dsn, typed.stream(ENRICHED))
    for change, statements in CHANGES.items():
        restore = (
            f"DROP SCHEMA public, early CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC; {MAKE}"
        )
        with open_source(origin) as planned, open_source(origin) as other:
            before = outcome(planned), other.schema
            assert len(planned.read(0, [], LIMITS).rows) == 1, before
            assert planned._events._planned.is_new is False
            owner.execute(statements.encode())
            assert outcome(planned) == outcome(other), change
            assert outcome(planned) == outcome(other), f"{change}, once more"
        owner.execute(restore.replace("{database}", owner.info.dbname).encode())


def test_a_look_has_the_read_planned_anew(owner: psycopg.Connection[Any], source_db: SourceDatabase) -> None:
    """What PostgreSQL does not see is that a constant means another thing: a plan does not outlive a look."""
    constant = "SELECT event.*, event.a_mood = 'glad' AS is_glad FROM typed AS event"
    with open_source(Origin(source_db.dsn, typed.stream(constant))) as source:
        assert len(source.read(0, [], LIMITS).rows) == 1
        owner.execute("ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'")
        source.look()
        with pytest.raises(EngagementError, match="invalid input value for enum mood"):
            source.read(0, [], LIMITS)


@pytest.mark.parametrize("has_binary_form", [True, False], ids=["binary", "text"])
def test_rows_are_the_same_in_whichever_form_they_come(
    owner: psycopg.Connection[Any], source_db: SourceDatabase, has_binary_form: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.execute("INSERT INTO typed (id, event_ts, a_text) VALUES (-5, 'infinity', E'\\\\x é')")
    with open_source(Origin(source_db.dsn, typed.stream(ENRICHED))) as source:
        object.__setattr__(source._events.described, "has_binary_form", has_binary_form)
        low, one = source.read(-10, [], LIMITS).rows
    assert (low.id, low.key, low.has_timestamp, one.id, one.key, one.has_timestamp) == (-5, b"-5", False, 1, b"1", True)
    assert low.bytes == len(low.value)
    assert '"a_text":"\\\\x é"' in low.value.decode()


def test_a_read_that_is_not_read_to_its_end_leaves_a_connection_of_use(
    owner: psycopg.Connection[Any], source_db: SourceDatabase
) -> None:
    owner.execute("INSERT INTO typed (a_text) SELECT 'x' FROM generate_series(1, 3000)")
    with open_source(Origin(source_db.dsn, typed.stream(ENRICHED))) as source:
        cut = source.read(0, [], Limits(rows=3000, bytes=1, message_bytes=1 << 20))
        assert (len(cut.rows), cut.cut) == (1, True)
        assert len(source.read(2999, [IdRange(1, 2)], LIMITS).rows) == 4


def test_parameters_are_numbered_where_they_stand_first() -> None:
    assert sql.numbered(b"SELECT %(b)s, %(a)s::int, %(b)s, '50 %%'") == (["b", "a"], b"SELECT $1, $2::int, $1, '50 %'")
