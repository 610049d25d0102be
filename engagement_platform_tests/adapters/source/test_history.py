"""What a rebuild reads, against the real server."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from engagement_platform.adapters.source.history import days_published_since, has_index, messages_of, open_history
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.domain.ids import IdRange
from engagement_platform_tests.conftest import SourceDatabase, origin
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, decode

DAY = date(2026, 3, 1)
SCHEMA = arrow_schema(ENGAGEMENT_EVENTS)


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def write(writer: psycopg.Connection[Any], event_ts: str, **columns: object) -> int:
    values = {"event_ts": event_ts, "event_type": "play"} | columns
    names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    row = writer.execute(f"INSERT INTO engagement_events ({names}) VALUES ({marks}) RETURNING id", values).fetchone()
    assert row is not None
    return int(row[0])


def rows(source: SourceDatabase, *days: date) -> dict[date, list[dict[str, Any]]]:
    with open_history(origin(source.dsn)) as history:
        by_day = history.rows(days, SCHEMA)
        return {day: by_day.of(day).read_all().to_pylist() for day in days}


def test_a_day_has_its_events_with_their_content(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    content = writer.execute(
        "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
        "VALUES (gen_random_uuid(), 's', 'عنوان', 'video', 10, now()) RETURNING id::text"
    ).fetchone()
    assert content is not None
    write(writer, "2026-03-01 00:00:00+00", duration_ms=1005, content_id=content[0], raw_payload=Jsonb({"a": "😀"}))
    write(writer, "2026-03-01 23:59:59.999999+00", raw_payload=Jsonb(None))
    write(writer, "2026-02-28 23:59:59.999999+00")
    write(writer, "2026-03-02 00:00:00+00")
    write(writer, "infinity")
    first, second = rows(source_db, DAY)[DAY]
    assert first["id"], second["id"] == (1, 2)
    assert first["engagement_seconds"] == Decimal("1.01")
    assert first["engagement_pct"] == Decimal("0.10")
    assert (first["title"], first["content_id"], first["raw_payload"]) == ("عنوان", content[0], '{"a": "😀"}')
    assert second["event_ts"] == datetime(2026, 3, 1, 23, 59, 59, 999_999, UTC)
    assert second["raw_payload"] is None


def test_several_days_come_one_after_the_other(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    for hours in (1, 23, 25, 47, 49, 71):
        day, hour = divmod(hours, 24)
        write(writer, f"2026-03-0{1 + day} {hour}:00+00")
    days = [DAY + timedelta(days=n) for n in range(4)]
    found = rows(source_db, *days)
    assert {day: sorted(row["id"] for row in found[day]) for day in days} == {
        days[0]: [1, 2],
        days[1]: [3, 4],
        days[2]: [5, 6],
        days[3]: [],
    }


def test_one_snapshot_holds_for_coverage_and_rows(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    with psycopg.connect(source_db.writer_dsn) as late:
        missing = [write(late, "2026-03-01 10:00+00") for _ in range(2)]
        write(writer, "2026-03-01 11:00+00")
        published = Coverage(3, (IdRange(*missing),))
        with psycopg.connect(source_db.writer_dsn) as later:
            write(later, "2026-03-01 12:00+00")  # 4: open when the snapshot is taken
            write(writer, "2026-03-01 13:00+00")
            late.commit()
            with open_history(origin(source_db.dsn)) as history:
                coverage = history.coverage(published)
                later.commit()
                write(writer, "2026-03-01 14:00+00")
                found = history.rows([DAY], SCHEMA).of(DAY).read_all().column("id").to_pylist()
    assert coverage == Coverage(5, (IdRange(4, 4),))
    assert found == [1, 2, 3, 5]


def test_memory_is_that_of_a_batch_not_of_the_day(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    writer.execute(
        "INSERT INTO engagement_events (event_type, event_ts, device) "
        "SELECT 'play', '2026-03-01'::timestamptz, repeat('x', 200) FROM generate_series(1, 200000)"
    )
    with open_history(origin(source_db.dsn)) as history:
        batches = list(history.rows([DAY], SCHEMA).of(DAY))
    assert sum(batch.num_rows for batch in batches) == 200_000
    assert max(batch.num_rows for batch in batches) < 150_000


def test_an_index_is_seen(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    assert not has_index(origin(source_db.dsn))
    writer.execute("CREATE INDEX ON engagement_events (event_ts)")
    assert has_index(origin(source_db.dsn))


def test_days_of_ids(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    for moment in ("2026-03-01 10:00+00", "2026-03-02 10:00+00", "2026-03-02 11:00+00", "infinity"):
        write(writer, moment)
    assert days_published_since(origin(source_db.dsn), Coverage(1)) == [date(2026, 3, 2)]


def test_the_source_cannot_be_written_to(source_db: SourceDatabase) -> None:
    from adbc_driver_manager import dbapi

    with open_history(origin(source_db.writer_dsn)) as history, pytest.raises(dbapi.Error, match="read-only"):
        history._cursor.execute("DELETE FROM engagement_events")


def test_what_is_wrong_is_said_without_the_password(source_db: SourceDatabase, writer: psycopg.Connection[Any]) -> None:
    with (
        pytest.raises(Unavailable, match="ENGAGEMENT_SOURCE_DSN") as away,
        open_history(origin("postgresql://u:s3cret@127.0.0.1:1/x")),
    ):
        pass
    assert "s3cret" not in str(away.value)
    writer.execute("REVOKE SELECT ON content FROM engagement_reader")
    with pytest.raises(Refused, match="GRANT SELECT ON content TO engagement_reader"):
        rows(source_db, DAY)


def test_single_messages_as_the_relay_would_write_them(
    source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    write(writer, "2026-03-01 23:59:59.999999+00", duration_ms=1005)
    write(writer, "infinity")
    write(writer, "2026-03-02 00:00:00+00", raw_payload=Jsonb("x" * 1_000))
    found = messages_of(origin(source_db.dsn), [1, 2, 3, 4], 1_000, lambda _: 1)
    assert set(found) == {1, 2, 3}
    value = found[1].value
    assert value is not None
    assert decode(value).engagement_seconds == Decimal("1.01")
    assert (found[1].size, found[1].day) == (len(value), DAY)
    assert found[2].day is None
    assert (found[3].value, found[3].day) == (None, date(2026, 3, 2))
    assert found[3].size > 1_000


def test_messages_that_postgresql_cannot_write_do_not_hide_the_others(
    source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """In place of 1 GB of JSON, which takes the server many seconds, what it says of it."""
    for _ in range(3):
        write(writer, "2026-03-01 00:00:00+00")
    writer.execute("ALTER TABLE engagement_events RENAME TO rows_of_events")
    writer.execute(
        "CREATE FUNCTION payload(id bigint, raw_payload jsonb) RETURNS jsonb STABLE LANGUAGE plpgsql AS "
        "$$ BEGIN IF id = 2 THEN RAISE program_limit_exceeded; END IF; RETURN raw_payload; END $$"
    )
    columns = "id, content_id, user_id, event_type, event_ts, duration_ms, device"
    writer.execute(
        f"CREATE VIEW engagement_events AS SELECT {columns}, payload(id, raw_payload) AS raw_payload "
        "FROM rows_of_events"
    )
    writer.execute("GRANT SELECT ON engagement_events TO public")
    found = messages_of(origin(source_db.dsn), [1, 2, 3], 1_000, lambda _: 1)
    assert [found[number].value is None for number in (1, 2, 3)] == [False, True, False]
    assert found[2].size > 1_000_000
    assert found[2].day == DAY
