"""Whatever reads the source does so with all that its DSN says, and with what exactness needs."""

import ast
import inspect
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

import engagement_platform
from engagement_platform.adapters.source import history, reader, session
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.errors import EngagementError, Refused, SettingsError, StreamStopped, Unavailable
from engagement_platform.domain.reconciliation import comparison_of
from engagement_platform.local.demo.figures import SourceRows
from engagement_platform.local.generator.source_tables import create_source_tables
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase, origin
from engagement_platform_tests.streams import ENGAGEMENT, ENGAGEMENT_EVENTS

DAY, DECOYS_DAY = date(2026, 3, 1), date(2026, 3, 2)
BEGIN, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
USER = UUID(int=7)
CONTENT = UUID(int=1)
LIMITS = Limits(rows=100, bytes=1 << 24, message_bytes=1 << 20)
IDS = [11, 12, 13]
"""The events in the schema that the DSN names; in `public` there are others."""


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def fill(writer: psycopg.Connection[Any], day: date, first: int) -> None:
    writer.execute("SELECT setval('engagement_events_id_seq', %s, false)", [first])
    writer.execute(
        "INSERT INTO content VALUES (%s, 'slug', 'title of ' || current_schema(), 'podcast', 10, now())", [CONTENT]
    )
    for number in range(3):
        writer.execute(
            "INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device,"
            " raw_payload) VALUES (%s, %s, 'play', %s::date + interval '1 hour', %s, 'phöne', '{\"at\": 1.50}')",
            [CONTENT, USER, day, 1000 * number],
        )


@pytest.fixture
def two_schemas(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> SourceDatabase:
    """The tables are in `media`, and others of the same names in `public`, which the role may read, too."""
    fill(writer, DECOYS_DAY, 1)
    writer.execute("CREATE SCHEMA media; GRANT USAGE ON SCHEMA media TO engagement_reader")
    create_source_tables(f"{source_db.writer_dsn}?options=-csearch_path%3Dmedia")
    writer.execute("SET search_path = media; SET timezone = 'UTC'")
    fill(writer, DAY, 11)
    return source_db


def read_relay(dsn: str) -> list[int]:
    with open_source(origin(dsn)) as source:
        assert source.highest_id() == source.highest_given() == 13
        assert source.missing_below(13, 3) == ()
        return [row.id for row in source.read(0, [], LIMITS).rows]


def read_rows(dsn: str) -> list[int]:
    with history.open_history(origin(dsn)) as snapshot:
        found = snapshot.rows([DAY], arrow_schema(ENGAGEMENT_EVENTS)).of(DAY).read_all()
    assert set(found.column("title").to_pylist()) == {"title of media"}
    return sorted(found.column("id").to_pylist())


def read_figures(dsn: str) -> list[int]:
    with history.open_history(origin(dsn)) as snapshot:
        comparison = comparison_of(origin(dsn).stream, ENGAGEMENT, history.own_columns(origin(dsn)))
        return [number for batch in snapshot.figures(DAY, comparison) for number in batch.column("id").to_pylist()]


def read_demo(dsn: str) -> list[int]:
    rows = SourceRows(Settings.of(source_dsn=dsn, platform_dsn="postgresql://127.0.0.1:1/x"))
    try:
        assert rows._settled == (-1, 0)
        count = rows.count()
        assert rows._connection is not None
        return [row[0] for row in rows._connection.execute("SELECT id FROM engagement_events ORDER BY id")][:count]
    finally:
        rows.close()


READS: dict[str, Callable[[str], object]] = {
    "open_source": read_relay,
    "open_history": read_rows,
    "figures": read_figures,
    "days_published_since": lambda dsn: history.days_published_since(origin(dsn), Coverage(0)) == [DAY] and IDS,
    "days_of": lambda dsn: list(history.days_of(origin(dsn), [1, 2, 3, *IDS])),
    "events_of_user": lambda dsn: IDS[: history.events_of_user(origin(dsn), ENGAGEMENT.column("user_id"), str(USER))],
    "has_index": lambda dsn: history.has_index(origin(dsn)) or IDS,
    "messages": lambda dsn: [
        _id(value) for _, _, value in history.messages(origin(dsn), history.Happened(BEGIN, END), 1 << 20, lambda _: 1)
    ],
    "messages_of": lambda dsn: sorted(history.messages_of(origin(dsn), [1, *IDS], 1 << 20, lambda _: 1)),
    "SourceRows": read_demo,
    "look": lambda dsn: session.look(origin(dsn)).tables["engagement_events"].name == "media.engagement_events" and IDS,
}


def _id(value: bytes) -> int:
    assert b"title of media" in value
    return int(value.partition(b'"id":')[2].partition(b",")[0])


def test_every_read_of_the_source_is_tried_here() -> None:
    readers = {
        name
        for module in (history, reader)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and "dsn" in inspect.signature(function).parameters and name[0] != "_"
    }
    assert readers <= READS.keys()


@pytest.mark.parametrize("read", READS)
def test_a_read_is_of_the_schema_that_the_dsn_names(
    two_schemas: SourceDatabase, writer: psycopg.Connection[Any], read: str
) -> None:
    if read == "has_index":  # in the other schema
        writer.execute("CREATE INDEX ON public.engagement_events (event_ts)")
    assert READS[read](f"{two_schemas.dsn}?options=-csearch_path%3Dmedia") == IDS


WAYS: dict[str, Callable[[str], str]] = {
    "key=value": lambda dsn: psycopg.conninfo.make_conninfo(dsn, options="-c search_path=media"),
    "PGOPTIONS": lambda dsn: dsn,
    "role": lambda dsn: dsn,
    "service": lambda dsn: f"{dsn}?service=media",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read", ["open_source", "open_history", "messages", "SourceRows"])
def test_wherever_the_schema_is_named(
    two_schemas: SourceDatabase, way: str, read: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "services").write_text("[media]\noptions=-csearch_path=media\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    if way == "PGOPTIONS":
        monkeypatch.setenv("PGOPTIONS", "-c search_path=media")
    if way == "role":
        with psycopg.connect(two_schemas.admin_dsn, autocommit=True) as admin:
            admin.execute("ALTER ROLE engagement_reader IN DATABASE " + admin.info.dbname + " SET search_path = media")
    assert READS[read](WAYS[way](two_schemas.dsn)) == IDS


def test_what_the_dsn_says_of_the_connection_comes_before_what_we_would_say(source_db: SourceDatabase) -> None:
    parameters = session.connect(f"{source_db.dsn}?connect_timeout=2&application_name=ours&keepalives_idle=7", "relay")
    with parameters as connection:
        given = connection.info.get_parameters()
    assert (given["connect_timeout"], given["application_name"], given["keepalives_idle"]) == ("2", "ours", "7")
    assert given["tcp_user_timeout"] == "10000"


def test_several_hosts_are_tried_for_the_primary(two_schemas: SourceDatabase) -> None:
    several = two_schemas.dsn.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
    dsn = f"{several}?options=-csearch_path%3Dmedia&target_session_attrs=primary"
    assert [READS[read](dsn) for read in ("open_source", "open_history", "messages")] == [IDS] * 3


SETTINGS_OF_OTHERS = (
    "timezone = 'Asia/Kolkata'", "datestyle = 'German'", "intervalstyle = 'sql_standard'", "bytea_output = 'escape'",
    "extra_float_digits = -5", "row_security = on", "client_encoding = 'LATIN1'", "standard_conforming_strings = on",
    "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on", "xmlbinary = 'hex'",
    "default_transaction_read_only = on", "transform_null_equals = on",
    "plan_cache_mode = 'force_generic_plan'", "from_collapse_limit = 1", "array_nulls = off",
)  # fmt: skip


def test_what_role_and_database_set_changes_no_byte(two_schemas: SourceDatabase) -> None:
    dsn = f"{two_schemas.dsn}?options=-csearch_path%3Dmedia"
    before = all_bytes(dsn)
    assert b"2026-03-01T01:00:00+00:00" in before[0][0][1]
    with psycopg.connect(two_schemas.admin_dsn, autocommit=True) as admin:
        for setting in SETTINGS_OF_OTHERS:
            admin.execute(f"ALTER DATABASE {admin.info.dbname} SET {setting}")
    assert all_bytes(dsn) == before


def test_the_one_setting_with_which_arrow_cannot_be_read_is_named(two_schemas: SourceDatabase) -> None:
    dsn = f"{two_schemas.dsn}?options=-csearch_path%3Dmedia"
    with psycopg.connect(two_schemas.admin_dsn, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET quote_all_identifiers = on")
        assert READS["open_source"](dsn) == READS["messages"](dsn) == IDS
        with pytest.raises(EngagementError, match="ALTER ROLE … SET quote_all_identifiers = off"):
            read_rows(dsn)
        admin.execute(f"ALTER ROLE engagement_reader IN DATABASE {admin.info.dbname} SET quote_all_identifiers = off")
    assert read_rows(dsn) == IDS


def all_bytes(dsn: str) -> list[list[Any]]:
    with open_source(origin(dsn)) as source:
        relayed = [(row.key, row.value) for row in source.read(0, [], LIMITS).rows]
    with history.open_history(origin(dsn)) as snapshot:
        rebuilt = snapshot.rows([DAY], arrow_schema(ENGAGEMENT_EVENTS)).of(DAY).read_all().to_pylist()
    redriven = [
        (event.key, event.value) for event in history.messages_of(origin(dsn), IDS, 1 << 20, lambda _: 1).values()
    ]
    return [
        relayed,
        [row[1:] for row in history.messages(origin(dsn), history.Happened(BEGIN, END), 1 << 20, lambda _: 1)],
        redriven,
        rebuilt,
    ]


@pytest.mark.parametrize("by", ["connect", "connect_arrow"])
def test_no_session_can_be_filtered_or_write(source_db: SourceDatabase, by: str) -> None:
    shown = (
        "SELECT current_setting('row_security'), current_setting('timezone'), current_setting('transaction_read_only')"
    )
    dsn = f"{source_db.dsn}?options=-crow_security%3Don"
    if by == "connect":
        with session.connect(dsn, "test") as connection:
            row = connection.execute(shown).fetchone()
    else:
        with session.connect_arrow(origin(dsn), "test") as cursor:
            cursor.execute(shown)
            row = cursor.fetchone()
    assert row == ("off", "UTC", "on")


ALLOWED = {
    "adapters/bounded.py": "what both databases are connected by",
    "adapters/source/session.py": "the source",
    "adapters/platform/connection.py": "the platform's own database",
    "local/postgres.py": "the embedded server, as its administrator",
    "local/generator/source_tables.py": "the media company's tables",
    "local/generator/writer.py": "the media company's own program",
}


CONNECTING = {
    "psycopg.connect", "psycopg.Connection.connect", "psycopg2.connect", "dbapi.connect", "bounded.connect",
    "BoundedConnection.connect",
}  # fmt: skip


def connects(node: ast.AST) -> bool:
    match node:
        case ast.Call():
            return ast.unparse(node.func) in CONNECTING
        case ast.Import() | ast.ImportFrom():
            return "adbc_driver_postgresql" in ast.unparse(node)
        case _:
            return False


def test_nothing_else_connects_to_postgresql() -> None:
    package = Path(engagement_platform.__file__).parent
    files = {file: ast.parse(file.read_text()) for file in package.rglob("*.py")}
    connecting = {str(file.relative_to(package)) for file, tree in files.items() if any(map(connects, ast.walk(tree)))}
    assert connecting == ALLOWED.keys()


def test_a_session_without_patience_waits_for_a_long_scan() -> None:
    assert inspect.signature(session.connect).parameters["patience"].default == math.inf


# What refuses, and what does not answer.


def opens(dsn: str) -> list[Exception]:
    """What each client says of a DSN."""
    raised: list[Exception] = []
    for attempt in (open_source, history.open_history, lambda at: session.connect_arrow(at, "test")):
        with pytest.raises((Unavailable, SettingsError, StreamStopped)) as error, attempt(origin(dsn)):
            pass
        raised.append(error.value)
    return raised


def changed(source_db: SourceDatabase, **parts: str | int) -> str:
    return psycopg.conninfo.make_conninfo(source_db.dsn, **parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"password": "s3cret-wrong"},
        {"user": "nobody", "password": "s3cret"},
        {"dbname": "nowhere"},
        {"options": "-c no_such_setting=1"},
    ],
)
def test_who_refuses_the_login_says_so(source_db: SourceDatabase, parts: dict[str, str | int]) -> None:
    for said in opens(changed(source_db, **parts)):
        assert isinstance(said, Refused)
        assert str(said).startswith("The source refuses the login: ")
        assert "ENGAGEMENT_SOURCE_DSN" in str(said)
        assert "s3cret" not in str(said)
        assert "does not answer" not in str(said)


def test_who_does_not_speak_the_tls_that_is_asked_for_refuses(source_db: SourceDatabase) -> None:
    for said in opens(changed(source_db, sslmode="require")):
        assert isinstance(said, Refused)
        assert "do not agree on TLS" in str(said)
        assert "ENGAGEMENT_SOURCE_DSN" in str(said)


@pytest.mark.parametrize("parts", [{"port": 1}, {"target_session_attrs": "standby"}, {"host": "no-such-host.invalid"}])
def test_who_does_not_answer_refuses_nothing(source_db: SourceDatabase, parts: dict[str, str | int]) -> None:
    for said in opens(changed(source_db, **parts)):
        assert not isinstance(said, Refused)
        assert "The source does not answer" in str(said)


def test_a_server_that_is_full_refuses_nothing(source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as admin:
        admin.execute("CREATE ROLE " + (role := f"full_{admin.info.dbname}") + " LOGIN PASSWORD 'p' CONNECTION LIMIT 0")
        try:
            for said in opens(changed(source_db, user=role, password="p")):
                assert not isinstance(said, Refused)
                assert "too many connections" in str(said)
        finally:
            admin.execute(f"DROP ROLE {role}")


def test_a_right_to_the_database_that_is_missing_is_refused_until_it_is_given(
    source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    writer.execute(f"REVOKE CONNECT ON DATABASE {writer.info.dbname} FROM public")
    assert {type(said) for said in opens(source_db.dsn)} == {Refused}
    writer.execute(f"GRANT CONNECT ON DATABASE {writer.info.dbname} TO engagement_reader")
    with open_source(origin(source_db.dsn)):
        pass


def test_a_read_is_filled_once_however_often_the_source_is_looked_at(
    source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And anew where the sequence has another name, or may not be seen any more."""
    fill(writer, DAY, 1)
    filled: list[str] = []
    statement = Origin.statement

    def counted(of: Origin, template: str) -> str:
        filled.append(template)
        return statement(of, template)

    monkeypatch.setattr(Origin, "statement", counted)
    with open_source(origin(source_db.dsn)) as source:
        source.read(0, [], LIMITS)
        filled.clear()
        for _ in range(3):
            source.look()
            assert len(source.read(0, [], LIMITS).rows) == 3
        assert not filled
        writer.execute("ALTER SEQUENCE engagement_events_id_seq RENAME TO another_seq")
        source.look()
        assert source.read(0, [], LIMITS).last_given == 3
        assert len(filled) == 1
