"""Comparing a day with the source, on the real servers."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from engagement_platform.adapters.kafka.plain import send_dead_letters
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.domain.reconciliation import NAMED, Findings, Ids, Sums, named
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.reconcile import PATIENCE_SECONDS, reconcile_days, strange_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain, running
from engagement_platform_tests.warehouse import DAY, NEXT, write


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def reconcile(settings: Settings, day: date, patience: float = PATIENCE_SECONDS) -> Findings:
    return reconcile_days(settings, [day], patience)[0]


def stream(settings: Settings) -> None:
    drain(relay.run, settings)
    drain(stage.run, settings)


def table(settings: Settings) -> DeltaTable:
    return DeltaTable(Path(settings.effective_warehouse_uri) / "engagement_events")


def test_a_day_that_equals_the_source(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    write(writer, 5)
    write(writer, 2, NEXT)
    stream(settings)
    found = reconcile(settings, DAY, 0)
    assert not found.differs
    assert (found.source_rows, found.table_rows) == (5, 5)
    assert found.sums == {"duration_ms": Sums(5 * 1005, 5 * 1005)}


def test_an_empty_day_equals_an_empty_day(settings: Settings) -> None:
    assert not reconcile(settings, DAY, 0).differs


def test_what_the_table_lacks_has_too_much_or_has_otherwise_is_named(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 8)
    stream(settings)
    table(settings).delete("id = 1")
    write_deltalake(table(settings), _copy(settings, 2), mode="append")
    writer.execute("DELETE FROM engagement_events WHERE id = 3")
    writer.execute("UPDATE engagement_events SET event_ts = event_ts + interval '1 day' WHERE id = 4")
    writer.execute("UPDATE engagement_events SET duration_ms = 7 WHERE id = 5")
    found = reconcile(settings, DAY, 0.5)
    assert (found.missing, found.surplus, found.moved) == (named([1]), named([3]), named([4]))
    assert (found.doubled, found.different) == (named([2]), named([5]))
    assert found.differs
    rebuild_days(settings, [DAY, NEXT], "repair")
    assert not reconcile(settings, DAY, 0).differs
    assert not reconcile(settings, NEXT, 0).differs


def test_an_update_of_any_own_column_is_named_and_one_of_a_joined_table_is_not(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    content = writer.execute(
        "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
        "VALUES (gen_random_uuid(), 's', 'before', 'podcast', 60, now()) RETURNING id"
    ).fetchone()
    assert content is not None
    write(writer, 6, content_id=content[0])
    stream(settings)
    writer.execute("UPDATE content SET title = 'after', length_seconds = 61")
    assert not reconcile(settings, DAY, 0).differs
    for number, change in enumerate(
        (
            "device = 'web'",
            "device = NULL",
            "raw_payload = '{}'",
            "user_id = gen_random_uuid()",
            "event_ts = event_ts + '1 s'",
        ),
        start=1,
    ):
        writer.execute(f"UPDATE engagement_events SET {change} WHERE id = {number}".encode())
    writer.execute("UPDATE engagement_events SET duration_ms = NULL WHERE id = 6")
    found = reconcile(settings, DAY, 0)
    assert (found.changed, found.different) == (named([1, 2, 3, 4, 5]), named([6]))
    rebuild_days(settings, [DAY], "repair")
    assert not reconcile(settings, DAY, 0).differs


def _copy(settings: Settings, event_id: int) -> pa.Table:
    import pyarrow.compute as pc

    return table(settings).to_pyarrow_dataset().to_table(filter=pc.field("id") == event_id)


def test_events_on_their_way_are_waited_for(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    often = settings.replace(stage_seconds=0.3)
    with running(relay.run, often), running(stage.run, often):
        for _ in range(5):
            write(writer, 20)
            assert not reconcile(often, DAY).differs


def test_a_day_is_compared_while_it_is_written(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """Events that come after the first look are no surplus."""
    often = settings.replace(stage_seconds=0.1)
    ensure_topics(settings)
    stop = threading.Event()

    def write_on() -> None:
        with psycopg.connect(source_db.writer_dsn, autocommit=True) as mine:
            while not stop.wait(0.01):
                write(mine, 3)

    thread = threading.Thread(target=write_on)
    with running(relay.run, often), running(stage.run, often):
        thread.start()
        try:
            assert [reconcile(often, DAY) for _ in range(5) if reconcile(often, DAY).differs] == []
        finally:
            stop.set()
            thread.join()


def test_a_stream_that_stands_still_is_not_waited_for_for_ever(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 3)
    stream(settings)
    write(writer, 2)
    found = reconcile(settings, DAY, 0.5)
    assert (found.awaited, found.missing) == (named([4, 5]), named([]))
    assert found.sums["duration_ms"].source == found.sums["duration_ms"].table
    assert not found.differs, "nobody can say that they are lost"


def test_what_a_rebuilt_day_must_hold_is_missing_however_far_the_stream_is(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 3)
    drain(relay.run, settings)
    rebuild_days(settings, [DAY], "settled")
    table(settings).delete("id = 2")
    write(writer, 2)
    found = reconcile(settings, DAY, 0)
    assert (found.missing, found.awaited) == (named([2]), named([4, 5]))
    assert found.differs


def test_dead_letters_are_not_missing(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    write(writer, 2)
    writer.execute(
        "INSERT INTO engagement_events (event_type, event_ts, duration_ms, raw_payload) "
        "VALUES ('play', '2026-03-01 10:00+00', 77, to_jsonb(repeat('x', 2000000)))"
    )
    stream(settings)
    found = reconcile(settings, DAY, 0.5)
    assert not found.differs
    assert found.dead_letters == 1
    assert (found.source_rows, found.table_rows) == (3, 2)
    assert found.sums["duration_ms"].source == found.sums["duration_ms"].table


def test_what_the_partner_refused_has_to_be_in_the_warehouse(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 1)
    stream(settings)
    write(writer, 1)
    drain(relay.run, settings)
    for source, missing in (("forward", [2]), ("stage", [])):
        letter = DeadLetter(source=source, event_id=2, reason="refused", excerpt="", at=datetime.now(UTC))
        send_dead_letters(settings.kafka, settings.topics.dead_letters, [letter])
        assert reconcile(settings, DAY, 0).awaited == named(missing)


def test_content_that_is_not_known_is_named(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    writer.execute("ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_content_id_fkey")
    writer.execute(
        "INSERT INTO engagement_events (content_id, event_type, event_ts) "
        "VALUES (gen_random_uuid(), 'play', '2026-03-01 10:00+00')"
    )
    write(writer, 1)
    stream(settings)
    found = reconcile(settings, DAY, 0)
    assert found.unjoined == {"content": named([1])}
    assert not found.differs


def test_days_that_nobody_knows_are_counted(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    for day in (date(1970, 1, 1), DAY, date(2099, 12, 31)):
        write(writer, 1, day)
    stream(settings)
    found = strange_days(settings, DAY, NEXT)
    assert found.events == 2
    assert found.first.startswith("1970-01-01")
    assert found.last.startswith("2099-12-31")


def test_ids_are_counted_and_the_first_are_named() -> None:
    assert named(range(30, 0, -1)) == Ids(30, tuple(range(1, NAMED + 1)))
    assert str(named(range(1, 23))).endswith("19, 20 and 2 more")
    assert str(named([])) == "none"
