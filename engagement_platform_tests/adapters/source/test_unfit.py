"""A source that is not as the enrichment needs it stops what reads it, with a remedy from which it goes on."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest

from engagement_platform.adapters.source import history, session
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.console import doctor
from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped, Unavailable
from engagement_platform.domain.reconciliation import Comparison
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase, origin
from engagement_platform_tests.streams import ENGAGEMENT, ENGAGEMENT_EVENTS

DAY = date(2026, 3, 1)
BEGIN, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
LIMITS = Limits(rows=100, bytes=1 << 24, message_bytes=1 << 20)
SCHEMA = arrow_schema(ENGAGEMENT_EVENTS)
USER = UUID(int=7)


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO content VALUES ('00000000-0000-0000-0000-000000000001', 's', 't', 'video', 10, now())"
        )
        yield connection


def write(owner: psycopg.Connection[Any], **columns: object) -> None:
    values = {
        "content_id": "00000000-0000-0000-0000-000000000001",
        "user_id": str(USER),
        "event_type": "play",
        "event_ts": "2026-03-01 10:00:00+00",
        "duration_ms": 1500,
        "device": "phone",
        "raw_payload": "{}",
    } | columns
    names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    owner.execute(f"INSERT INTO engagement_events ({names}) VALUES ({marks})", values)


def relayed(dsn: str) -> list[dict[str, Any]]:
    with open_source(origin(dsn)) as source:
        return [json.loads(row.value) for row in source.read(0, [], LIMITS).rows]


def rebuilt(dsn: str) -> list[dict[str, Any]]:
    with history.open_history(origin(dsn)) as snapshot:
        return list(snapshot.rows([DAY], SCHEMA).of(DAY).read_all().to_pylist())


def compared(dsn: str) -> list[int]:
    with history.open_history(origin(dsn)) as snapshot:
        batches = snapshot.figures(DAY, Comparison())
        return [number for batch in batches for number in batch.column("id").to_pylist()]


def redriven(dsn: str) -> dict[int, object]:
    return dict(history.messages_of(origin(dsn), [1], 1 << 20, lambda _: 1))


def replayed(dsn: str) -> list[tuple[bytes | None, bytes]]:
    return [row[1:] for row in history.messages(origin(dsn), history.Happened(BEGIN, END), 1 << 20, lambda _: 1)]


def counted(dsn: str) -> int:
    return history.events_of_user(origin(dsn), ENGAGEMENT.column("user_id"), str(USER))


PUBLISHING: list[Callable[[str], Any]] = [relayed, rebuilt, redriven, replayed]
READING: list[Callable[[str], Any]] = [*PUBLISHING, compared, counted]


def source_faults(settings: Settings) -> str:
    return " ".join(f"{found.what} {found.todo}" for found in doctor._source(settings) if found.level == "fault")


def said_by(read: Callable[[str], object], dsn: str) -> EngagementError:
    with pytest.raises(EngagementError) as raised:
        read(dsn)
    assert "does not answer" not in str(raised.value)
    return raised.value


EVENTS_OF_ANOTHER_FORM = {
    "ALTER TABLE engagement_events RENAME COLUMN device TO agent": (
        "lacks column device of engagement_events",
        "ALTER TABLE engagement_events RENAME COLUMN agent TO device",
    ),
    "ALTER TABLE content DROP COLUMN length_seconds": (
        "lacks column length_seconds of content",
        "ALTER TABLE content ADD COLUMN length_seconds bigint",
    ),
    "ALTER TABLE engagement_events ALTER event_ts TYPE timestamp": (
        "event_ts of engagement_events is timestamp without time zone, it must be timestamptz",
        "ALTER TABLE engagement_events ALTER COLUMN event_ts TYPE timestamptz USING event_ts AT TIME ZONE 'UTC'",
    ),
    "ALTER TABLE engagement_events ALTER user_id TYPE text": (
        "user_id of engagement_events is text, it must be uuid",
        "ALTER TABLE engagement_events ALTER COLUMN user_id TYPE uuid USING user_id::uuid",
    ),
    "ALTER TABLE engagement_events ALTER raw_payload TYPE json": (
        "raw_payload of engagement_events is json, it must be jsonb",
        "ALTER TABLE engagement_events ALTER COLUMN raw_payload TYPE jsonb USING raw_payload::jsonb",
    ),
    "ALTER TABLE engagement_events ALTER duration_ms TYPE numeric": (
        "duration_ms of engagement_events is numeric, it must be bigint",
        "ALTER TABLE engagement_events ALTER COLUMN duration_ms TYPE bigint USING duration_ms::bigint",
    ),
    "ALTER TABLE engagement_events ALTER device TYPE json USING to_json(device)": (
        "device of engagement_events is json, it must be text",
        "ALTER TABLE engagement_events ALTER COLUMN device TYPE text USING device::text",
    ),
}


@pytest.mark.parametrize("statement", EVENTS_OF_ANOTHER_FORM)
def test_a_column_of_another_name_or_type_stops_every_reader_until_the_statement_mends_it(
    settings: Settings, source_db: SourceDatabase, owner: psycopg.Connection[Any], statement: LiteralString
) -> None:
    said, remedy = EVENTS_OF_ANOTHER_FORM[statement]
    write(owner)
    with open_source(origin(source_db.dsn)) as source:
        assert len(source.read(0, [], LIMITS).rows) == 1
        owner.execute(statement)
        write_any(owner)
        with pytest.raises((Unavailable, StreamStopped)):  # in mid-stream: none of another form is returned
            source.read(0, [], LIMITS)
    for read in PUBLISHING:
        stopped = said_by(read, source_db.dsn)
        assert isinstance(stopped, StreamStopped), read
        assert said in str(stopped)
        assert remedy.split(" RENAME")[0] in str(stopped)
    assert said in source_faults(settings)
    owner.execute(remedy.encode())
    assert source_faults(settings) == ""
    assert [len(read(source_db.dsn)) for read in PUBLISHING] == [2, 2, 1, 2]


def write_any(owner: psycopg.Connection[Any]) -> None:
    """Write a row whatever the columns are called."""
    owner.execute("INSERT INTO engagement_events (event_ts, event_type) VALUES ('2026-03-01 11:00:00+00', 'play')")


HARMLESS: tuple[LiteralString, ...] = (
    "ALTER TABLE engagement_events ALTER duration_ms TYPE bigint",
    "ALTER TABLE content ALTER length_seconds TYPE smallint",
    "ALTER TABLE engagement_events ALTER device TYPE varchar(40)",
    "ALTER TABLE engagement_events ALTER device TYPE char(40)",
    "CREATE TYPE kind AS ENUM ('podcast', 'newsletter', 'video');"
    "ALTER TABLE content DROP CONSTRAINT content_content_type_check;"
    "ALTER TABLE content ALTER content_type TYPE kind USING content_type::kind",
    "CREATE DOMAIN short AS text; CREATE DOMAIN shorter AS short CHECK (length(value) < 99);"
    "ALTER TABLE engagement_events ALTER device TYPE shorter",
    "ALTER TABLE engagement_events ALTER event_ts TYPE timestamptz(0)",
    "ALTER TABLE engagement_events ADD COLUMN more text, ALTER event_type SET NOT NULL",
    "ALTER TABLE content RENAME publish_ts TO published_at",
    "ALTER TABLE content ALTER title SET STORAGE EXTERNAL; ALTER TABLE content ALTER slug DROP NOT NULL",
)


@pytest.mark.parametrize("statement", HARMLESS)
def test_a_change_that_leaves_the_form_is_taken_and_changes_no_byte(
    source_db: SourceDatabase, owner: psycopg.Connection[Any], statement: LiteralString
) -> None:
    write(owner)
    before = [read(source_db.dsn) for read in PUBLISHING]
    owner.execute(statement)
    assert [read(source_db.dsn) for read in PUBLISHING] == before


def test_ids_may_be_of_32_bits(source_db: SourceDatabase, owner: psycopg.Connection[Any]) -> None:
    owner.execute("ALTER TABLE engagement_events ALTER id TYPE integer")
    owner.execute("ALTER SEQUENCE engagement_events_id_seq AS integer")
    write(owner)
    assert [len(read(source_db.dsn)) for read in PUBLISHING] == [1, 1, 1, 1]
    assert compared(source_db.dsn) == [1]


HIDING: tuple[LiteralString, ...] = (
    "ALTER TABLE engagement_events ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE content ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY phones ON engagement_events USING (device = 'phone');"
    "ALTER TABLE engagement_events ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY everything ON engagement_events USING (true);"
    "ALTER TABLE engagement_events ENABLE ROW LEVEL SECURITY",
)


@pytest.mark.parametrize("statement", HIDING)
def test_no_reader_takes_fewer_rows_for_all_of_them(
    settings: Settings, source_db: SourceDatabase, owner: psycopg.Connection[Any], statement: LiteralString
) -> None:
    write(owner)
    table = "content" if "content" in statement else "engagement_events"
    readers = PUBLISHING if table == "content" else READING
    with open_source(origin(source_db.dsn)) as source:
        for _ in range(8):  # beyond where statements are prepared, and plans kept
            assert len(source.read(0, [], LIMITS).rows) == 1
            source.highest_id()
        owner.execute(statement)
        with pytest.raises(StreamStopped, match=f"hides rows of the source's {table} from engagement_reader"):
            source.read(0, [], LIMITS)
    for read in readers:
        stopped = said_by(read, source_db.dsn)
        assert isinstance(stopped, StreamStopped), read
        assert "ALTER ROLE engagement_reader BYPASSRLS" in str(stopped)
    assert f"hides rows of the source's {table}" in source_faults(settings)
    remedy = f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
    assert remedy in str(stopped)
    owner.execute(remedy.encode())
    assert [bool(read(source_db.dsn)) for read in READING] == [True] * 6
    assert source_faults(settings) == ""


def test_a_role_that_policies_do_not_bind_reads_on(source_db: SourceDatabase, owner: psycopg.Connection[Any]) -> None:
    write(owner)
    owner.execute("ALTER TABLE engagement_events ENABLE ROW LEVEL SECURITY")
    role = f"free_{owner.info.dbname}"
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p' IN ROLE engagement_reader BYPASSRLS")
        try:
            dsn = psycopg.conninfo.make_conninfo(source_db.dsn, user=role, password="p")
            assert [bool(read(dsn)) for read in READING] == [True] * 6
        finally:
            admin.execute(f"DROP ROLE {role}")


def test_an_owner_who_is_bound_by_force_is_told_another_remedy(
    source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    write(owner)
    owner.execute("ALTER TABLE engagement_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    remedy = "ALTER TABLE engagement_events NO FORCE ROW LEVEL SECURITY"
    assert remedy in str(said_by(compared, source_db.writer_dsn))
    owner.execute(remedy.encode())
    assert compared(source_db.writer_dsn) == [1]


def test_a_view_in_a_table_s_place_hides_nothing_by_the_policy_of_what_lies_behind(
    source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    """The view's owner is bound by the policy: then the read is an error, not a title that is missing."""
    write(owner)
    owner.execute("ALTER TABLE content RENAME TO catalogue")
    owner.execute("CREATE VIEW content AS SELECT * FROM catalogue; GRANT SELECT ON content TO engagement_reader")
    assert relayed(source_db.dsn)[0]["slug"] == "s"
    owner.execute("ALTER TABLE catalogue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    refused = said_by(relayed, source_db.dsn)
    assert isinstance(refused, Refused)
    assert "catalogue" in str(refused)
    assert "BYPASSRLS" in str(refused)


def test_a_right_to_the_columns_that_are_read_is_enough(
    settings: Settings, source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    write(owner)
    columns = "id, content_id, user_id, event_type, event_ts, duration_ms, device"
    owner.execute("REVOKE SELECT ON engagement_events, content FROM engagement_reader")
    owner.execute("GRANT SELECT (id, slug, title, content_type, length_seconds) ON content TO engagement_reader")
    owner.execute(f"GRANT SELECT ({columns}) ON engagement_events TO engagement_reader")
    for read in PUBLISHING:
        refused = said_by(read, source_db.dsn)
        assert isinstance(refused, Refused)
        assert "GRANT SELECT ON engagement_events TO engagement_reader" in str(refused)
    owner.execute("GRANT SELECT (raw_payload) ON engagement_events TO engagement_reader")
    assert [bool(read(source_db.dsn)) for read in READING] == [True] * 6
    assert source_faults(settings) == ""


def test_a_right_that_is_taken_away_in_mid_stream_is_refused_and_given_back_goes_on(
    source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    write(owner)
    with open_source(origin(source_db.dsn)) as source:
        owner.execute("REVOKE SELECT ON content FROM engagement_reader")
        with pytest.raises(Refused, match="GRANT SELECT ON content TO engagement_reader"):
            source.read(0, [], LIMITS)
        owner.execute("GRANT SELECT ON content TO engagement_reader")
        assert len(source.read(0, [], LIMITS).rows) == 1


@pytest.mark.parametrize("schema", ["media", '"Media, 100% \\\\ ours"'])
def test_a_schema_that_is_out_of_reach_is_named_and_the_remedies_lead_to_it(
    settings: Settings, source_db: SourceDatabase, owner: psycopg.Connection[Any], schema: str
) -> None:
    """One table stays where it was."""
    write(owner)
    owner.execute(f"CREATE SCHEMA {schema}; ALTER TABLE content SET SCHEMA {schema}".encode())
    refused = said_by(relayed, source_db.dsn)
    grant = f"GRANT USAGE ON SCHEMA {schema} TO engagement_reader"
    assert grant in str(refused)
    owner.execute(grant.encode())
    stopped = said_by(relayed, source_db.dsn)
    assert isinstance(stopped, StreamStopped)
    assert stopped.todo.rstrip(".") in source_faults(settings)
    by_role, _, by_url = stopped.todo.removeprefix("Ask the owner to run: ").partition("; or add ")
    assert len(relayed(f"{source_db.dsn}?{by_url.partition(' ')[0]}")) == 1
    assert by_role == f"ALTER ROLE engagement_reader SET search_path = public, {schema}"
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as admin:
        here = f"engagement_reader IN DATABASE {admin.info.dbname}"
        admin.execute(by_role.replace("engagement_reader", here).encode())
    assert len(relayed(source_db.dsn)) == 1


def test_the_tables_cannot_change_between_the_look_and_the_rows_of_a_rebuild(
    source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    write(owner)
    with history.open_history(origin(source_db.dsn)) as snapshot:
        owner.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            owner.execute("ALTER TABLE engagement_events ALTER event_ts TYPE timestamp")
        assert len(snapshot.rows([DAY], SCHEMA).of(DAY).read_all()) == 1


def test_a_change_between_the_look_and_the_transaction_is_seen(
    source_db: SourceDatabase, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    form = session.require_fit(origin(source_db.dsn))
    owner.execute("ALTER TABLE engagement_events ALTER event_ts TYPE timestamp")
    monkeypatch.setattr(session, "require_fit", lambda _: form)
    assert "were changed" in str(said_by(rebuilt, source_db.dsn))


def test_what_the_server_reports_is_neither_an_outage_nor_a_refusal(
    source_db: SourceDatabase, owner: psycopg.Connection[Any]
) -> None:
    write(owner)
    owner.execute("ALTER TABLE content RENAME TO catalogue")
    for state, kind, said in (
        ("XX000", Unavailable, "The source reports an error"),
        ("40P01", Unavailable, "The source reports an error"),
        ("22003", StreamStopped, "The source has a value that cannot be read"),
        ("42883", StreamStopped, "The source is not as the platform needs it"),
        ("53200", Unavailable, "does not answer"),
    ):
        owner.execute(
            "CREATE OR REPLACE FUNCTION failing() RETURNS text VOLATILE LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'of the test' USING errcode = '{state}'; END $$"
        )
        owner.execute(
            "CREATE OR REPLACE VIEW content AS SELECT id, slug, failing() AS title, content_type, length_seconds"
            " FROM catalogue; GRANT SELECT ON content TO engagement_reader"
        )
        with pytest.raises(EngagementError) as raised:
            replayed(source_db.dsn)
        assert type(raised.value) is kind, state
        assert said in str(raised.value)
