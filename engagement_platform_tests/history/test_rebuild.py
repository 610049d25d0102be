"""Rebuilding days against the real servers: each day equals the source, with the stream going on around it."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.source import history, session
from engagement_platform.adapters.source.history import History
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.adapters.warehouse.port import Conflict
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.history import open_days, rebuild
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loader, open_loads
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase, origin
from engagement_platform_tests.streaming import drain, running, wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
from engagement_platform_tests.warehouse import (
    DAY,
    NEXT,
    oracle_rows,
    source_ids,
    table_ids,
    table_rows,
    write,
)

DAYS = [DAY + timedelta(days=n) for n in range(4)]


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def loads(settings: Settings) -> Iterator[Loads]:
    ensure_schema(settings)
    with Loads.opened(settings, "test") as made:
        yield made


@pytest.fixture
def rebuilds(loads: Loads) -> Rebuilds:
    return Rebuilds(loads.session)


def table_id(settings: Settings) -> str:
    return open_warehouse(settings).ensure(ENGAGEMENT_EVENTS)


def stream(settings: Settings) -> None:
    drain(relay.run, settings)
    drain(stage.run, settings)


@pytest.mark.parametrize("indexed", [True, False])
def test_days_equal_the_source_value_for_value(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], indexed: bool
) -> None:
    if indexed:
        writer.execute("CREATE INDEX ON engagement_events (event_ts)")
    for n, day in enumerate(DAYS[:3]):
        write(writer, 5 + n, day, device=None if n else "ios")
    told: list[date] = []
    done = rebuild_days(settings, [*DAYS, DAY], "run", lambda each: told.append(each.day))
    assert [(each.day, each.rows) for each in done] == [(DAYS[0], 5), (DAYS[1], 6), (DAYS[2], 7), (DAYS[3], 0)]
    assert told == DAYS
    assert table_rows(settings) == oracle_rows(source_db)


def test_the_stream_and_the_rebuild_write_the_same_values(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    writer.execute(
        "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
        "VALUES (gen_random_uuid(), 's', 'حلقة', 'podcast', 3, now())"
    )
    for payload in ("null", '"text"', "1.50", '{"a": [null, "😀"], "b": 1e3}', "{}"):
        content = "SELECT id FROM content"
        writer.execute(
            "INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, raw_payload) "
            f"VALUES (({content}), 'play', '2026-03-01 10:00:00.123456+00', 1005, %s::jsonb)",
            [payload],
        )
    stream(settings)
    streamed = table_rows(settings)
    rebuild_days(settings, [DAY], "run")
    assert table_rows(settings) == streamed == oracle_rows(source_db)


def test_updates_and_deletes_of_the_source_show_after_the_rebuild(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 6)
    stream(settings)
    writer.execute("DELETE FROM engagement_events WHERE id <= 2")
    writer.execute("UPDATE engagement_events SET device = 'tv' WHERE id = 5")
    rebuild_days(settings, [DAY], "run")
    assert table_rows(settings) == oracle_rows(source_db)


def test_events_that_the_stream_still_has_to_load_are_there_once(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """Published, not yet loaded, and in the rebuilt day: the stage leaves them out. Those after it are loaded."""
    write(writer, 5)
    drain(relay.run, settings)
    rebuild_days(settings, [DAY], "run")
    assert table_ids(settings) == [1, 2, 3, 4, 5]
    write(writer, 3)
    stream(settings)
    assert table_ids(settings) == source_ids(source_db)


def test_an_event_that_is_open_during_the_snapshot_comes_by_the_stream(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(source_db.writer_dsn) as late:
        write(late, 2)
        write(writer, 2)
        drain(relay.run, settings)
        rebuild_days(settings, [DAY], "run")
        assert table_ids(settings) == [3, 4]
        late.commit()
    stream(settings)
    assert table_ids(settings) == [1, 2, 3, 4]


def test_an_event_that_commits_between_checkpoint_and_snapshot_is_there_once(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint calls it missing, the snapshot sees it, and the relay is still to publish it."""
    coverage = History.coverage
    with psycopg.connect(source_db.writer_dsn) as late:
        write(late, 1)
        write(writer, 1)
        drain(relay.run, settings)

        def commits_first(self: History, known: Any) -> Any:
            assert known.missing
            late.commit()
            return coverage(self, known)

        with monkeypatch.context() as patched:
            patched.setattr(History, "coverage", commits_first)
            rebuild_days(settings, [DAY], "run")
    stream(settings)
    assert table_ids(settings) == [1, 2]


def test_days_are_rebuilt_again_and_again_while_everything_goes_on(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """Writers with late commits on the days in question, relay, stage, and two rebuilders of the same days."""
    often = settings.replace(stage_seconds=0.05)
    stop = threading.Event()

    def write_late(seed: int) -> None:
        with psycopg.connect(source_db.writer_dsn) as mine:
            while not stop.is_set():
                for day in DAYS[seed % 2 : seed % 2 + 2]:
                    write(mine, 2, day)
                    stop.wait(0.01 * (seed + 1))
                (mine.rollback if seed == 2 and stop.wait(0.02) else mine.commit)()

    def rebuild_for_ever(seed: int) -> None:
        for n in range(4):
            rebuild_days(often, DAYS[seed : seed + 3], f"run {seed} {n}")

    writers = [threading.Thread(target=write_late, args=(n,)) for n in range(3)]
    rebuilders = [threading.Thread(target=rebuild_for_ever, args=(n,)) for n in range(2)]
    with running(relay.run, often), running(stage.run, often):
        for thread in writers + rebuilders:
            thread.start()
        for thread in rebuilders:
            thread.join(120)
            assert not thread.is_alive()
        stop.set()
        for thread in writers:
            thread.join(30)
        wait_for(lambda: len(table_ids(settings)) >= len(source_ids(source_db)), "the table to have all events", 60)
    stream(settings)
    assert table_ids(settings) == source_ids(source_db)
    assert table_rows(settings) == oracle_rows(source_db)


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


def die(*_: object, **__: object) -> None:
    raise Killed


def test_a_rebuild_killed_before_it_takes_effect_leaves_the_day_as_it_was(
    rebuilds: Rebuilds,
    settings: Settings,
    source_db: SourceDatabase,
    writer: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = write(writer, 3)
    stream(settings)
    with monkeypatch.context() as patched:
        patched.setattr(DeltaWarehouse, "replace_day", die)
        patched.setattr(open_days.OpenDays, "_settle_own", die)
        with pytest.raises(Killed):
            rebuild_days(settings, [DAY], "killed")
    (left,) = rebuilds.all_open(table_id(settings), [DAY])
    assert left.coverage is not None
    monkeypatch.setattr(open_days, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(loader, "SILENT_SECONDS", 0.2)
    ids += write(writer, 3)
    stream(settings)
    assert table_ids(settings) == ids
    rebuild_days(settings, [DAY], "another")
    assert table_ids(settings) == source_ids(source_db)


def test_a_rebuild_killed_after_it_took_effect_is_found_done(
    rebuilds: Rebuilds,
    settings: Settings,
    source_db: SourceDatabase,
    writer: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its coverage has to come into force: its rows would be loaded a second time else."""
    write(writer, 3)
    drain(relay.run, settings)
    with monkeypatch.context() as patched:
        patched.setattr(Rebuilds, "finish", die)
        patched.setattr(open_days.OpenDays, "_settle_own", die)
        with pytest.raises(Killed):
            rebuild_days(settings, [DAY], "killed")
    monkeypatch.setattr(loader, "SILENT_SECONDS", 0.2)
    drain(stage.run, settings)
    assert table_ids(settings) == source_ids(source_db) == [1, 2, 3]
    assert rebuilds.all_open(table_id(settings), [DAY]) == []


def test_a_frozen_rebuild_that_wakes_up_changes_nothing(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken for dead, the day is rebuilt by another, the stream goes on, and then it writes."""
    write(writer, 3)
    replace_day = DeltaWarehouse.replace_day
    woken: list[bool] = []

    def freezes(self: DeltaWarehouse, replacement: Any, rows: Any) -> int:
        if woken:
            return replace_day(self, replacement, rows)
        woken.append(True)
        monkeypatch.setattr(open_days, "SILENT_SECONDS", -1.0)
        rebuild_days(settings, [DAY], "another")
        monkeypatch.setattr(open_days, "SILENT_SECONDS", 30.0)
        write(writer, 2)
        stream(settings)
        return replace_day(self, replacement, rows)

    monkeypatch.setattr(DeltaWarehouse, "replace_day", freezes)
    monkeypatch.setattr(rebuild, "_LIVES", 1)
    with pytest.raises(EngagementError, match="taken for dead"):
        rebuild_days(settings, [DAY], "frozen")
    assert table_ids(settings) == source_ids(source_db) == [1, 2, 3, 4, 5]


def test_a_rebuild_that_was_frozen_for_five_seconds_begins_again_and_the_day_is_exact(
    settings: Settings,
    source_db: SourceDatabase,
    writer: psycopg.Connection[Any],
    loads: Loads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stage takes it for dead and loads its batch; the late commit has no effect, and the second try sees all."""
    write(writer, 3)
    stream(settings)
    replace_day = DeltaWarehouse.replace_day
    numbers: list[int] = []

    def freezes(self: DeltaWarehouse, replacement: Any, rows: Any) -> int:
        numbers.append(replacement.number)
        if len(numbers) == 1:
            with loads.session.connected() as connection:
                connection.execute("UPDATE engagement_platform.day_rebuild SET beat_at = now() - interval '5 s'")
            write(writer, 2)
            stream(settings)
            assert table_ids(settings) == [1, 2, 3, 4, 5]
        return replace_day(self, replacement, rows)

    monkeypatch.setattr(open_days, "BEAT_SECONDS", 60.0)
    monkeypatch.setattr(DeltaWarehouse, "replace_day", freezes)
    (done,) = rebuild_days(settings, [DAY], "frozen")
    assert (done.rows, len(numbers)) == (5, 2)
    assert table_ids(settings) == source_ids(source_db) == [1, 2, 3, 4, 5]


def test_a_killed_rebuild_of_today_delays_a_batch_by_seconds(
    rebuilds: Rebuilds, settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """The budget from commit to queryable is ten seconds, of which a batch of the stage takes five."""
    write(writer, 1)
    stream(settings)
    row = rebuilds.begin(table_id(settings), DAY, "killed")
    assert row is not None
    write(writer, 1)
    drain(relay.run, settings)
    began = time.monotonic()
    drain(stage.run, settings)
    assert table_ids(settings) == [1, 2]
    assert time.monotonic() - began < 5


def test_an_open_load_of_a_dead_stage_is_completed_before_the_snapshot(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_days, "_LIVE_LOAD_SECONDS", 0.2)
    write(writer, 3)
    write(writer, 2, NEXT)
    drain(relay.run, settings)
    with monkeypatch.context() as patched:
        patched.setattr(DeltaWarehouse, "append", die)
        with pytest.raises(Killed):
            drain(stage.run, settings)
    rebuild_days(settings, [DAY], "run")
    assert table_ids(settings) == source_ids(source_db)
    stream(settings)
    assert table_ids(settings) == source_ids(source_db)


def test_a_conflict_reads_the_day_again(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 3)
    replace_day = DeltaWarehouse.replace_day
    tries = []

    def conflicts(self: DeltaWarehouse, replacement: Any, rows: Any) -> int:
        tries.append(replacement)
        if len(tries) == 1:
            write(writer, 1)
            raise Conflict
        return replace_day(self, replacement, rows)

    monkeypatch.setattr(DeltaWarehouse, "replace_day", conflicts)
    rebuild_days(settings, [DAY], "run")
    assert table_ids(settings) == source_ids(source_db) == [1, 2, 3, 4]


def test_a_failure_leaves_the_day_as_it_was_and_nothing_open(
    rebuilds: Rebuilds, settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write(writer, 3)
    stream(settings)
    writer.execute("DELETE FROM engagement_events WHERE id = 1")

    def fails(self: object, *_: object) -> int:
        raise Unavailable("The warehouse does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(DeltaWarehouse, "replace_day", fails)
        with pytest.raises(Unavailable):
            rebuild_days(settings, [DAY], "run")
    assert table_ids(settings) == ids
    assert rebuilds.all_open(table_id(settings), [DAY]) == []
    assert rebuilds.coverages(table_id(settings), [DAY]) == {}


def test_the_source_going_away_during_the_read_is_said(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are read by foreign code; its own words would say nothing of the source."""
    write(writer, 1)
    rows = History.rows

    def cut(self: History, *arguments: Any) -> Any:
        by_day = rows(self, *arguments)

        def batches() -> Iterator[Any]:
            raise Unavailable("The source does not answer.")
            yield

        by_day._batches = batches()
        return by_day

    monkeypatch.setattr(History, "rows", cut)
    with pytest.raises(Unavailable, match="The source does not answer"):
        rebuild_days(settings, [DAY], "run")


def test_rebuilds_that_wait_for_another_day_give_signs_of_life(
    rebuilds: Rebuilds,
    settings: Settings,
    writer: psycopg.Connection[Any],
    loads: Loads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_days, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(rebuild, "has_index", lambda _: False)
    for day in (DAY, NEXT):
        write(writer, 1, day)
    other = rebuilds.begin(table_id(settings), NEXT, "another")
    assert other is not None
    rebuilding = threading.Thread(target=rebuild_days, args=(settings, [DAY, NEXT], "waits"))
    rebuilding.start()
    try:
        (first,) = wait_for(lambda: rebuilds.all_open(table_id(settings), [DAY]), "the first day to be entered")
        opened = beat_at(loads, first.number)
        wait_for(lambda: beat_at(loads, first.number) > opened, "a sign of life")
    finally:
        rebuilds.abandon(other.number)
        rebuilding.join(30)
    assert table_ids(settings) == [1, 2]


def beat_at(loads: Loads, number: int) -> datetime:
    with loads.session.connected() as connection:
        found = connection.execute("SELECT beat_at FROM engagement_platform.day_rebuild WHERE number = %s", [number])
        return found.fetchone()[0]  # type: ignore[index,no-any-return]


@pytest.mark.timeout(60)
def test_a_source_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        opening = history.open_history(origin(f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/media"))
        with pytest.raises(Unavailable, match="does not answer"), opening:
            pass


def test_settling_a_rebuild_that_another_has_settled_is_harmless(settings: Settings, rebuilds: Rebuilds) -> None:
    warehouse = open_warehouse(settings)
    row = rebuilds.begin(warehouse.ensure(ENGAGEMENT_EVENTS), DAY, "killed")
    assert row is not None
    open_loads.settle_rebuild(warehouse, rebuilds, row, ENGAGEMENT_EVENTS)
    open_loads.settle_rebuild(open_warehouse(settings), rebuilds, row, ENGAGEMENT_EVENTS)
    assert rebuilds.get(row.number).state == "abandoned"
