import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.local.generator import notes
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.generator.writer import Outcome, generate
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import wait_for

COMMAND = [sys.executable, "-m", "engagement_platform.local.generator"]


class Run:
    def __init__(self) -> None:
        self.ids: list[int] = []
        self.times: list[int] = []
        self.lines: list[str] = []
        self.outcome: Outcome | None = None
        self._lock = threading.Lock()

    def note(self, committed_ns: int, ids: list[int]) -> None:
        with self._lock:
            self.times.append(committed_ns)
            self.ids += ids


@contextmanager
def generating(dsn: str, workload: Workload) -> Iterator[Run]:
    stop, run = threading.Event(), Run()

    def target() -> None:
        run.outcome = generate(dsn, workload, stop, note=run.note, log=run.lines.append)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield run
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def ids_of(source: SourceDatabase) -> list[int]:
    with psycopg.connect(source.dsn) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM engagement_events ORDER BY id")]


def test_the_notes_are_exactly_what_was_committed(source_db: SourceDatabase) -> None:
    with generating(source_db.writer_dsn, Workload(rate=2_000, writers=6)) as run:
        wait_for(lambda: len(run.ids) > 6_000, "events")
    assert run.outcome is not None
    assert run.outcome.undone > 0
    assert run.outcome.events == len(run.ids)
    assert sorted(run.ids) == ids_of(source_db)


def test_ids_commit_out_of_order_and_leave_gaps(source_db: SourceDatabase) -> None:
    with generating(source_db.writer_dsn, Workload(rate=1_000)) as run:
        wait_for(lambda: len(run.ids) > 3_000, "events")
    assert max(run.ids) > len(run.ids)
    highest = overtaken = 0
    for event_id in run.ids:
        overtaken += event_id < highest
        highest = max(highest, event_id)
    assert overtaken > 20


@pytest.mark.parametrize("rate", [200, 1_000, 5_000])
def test_the_rate_is_that_of_committed_events(source_db: SourceDatabase, rate: int) -> None:
    """In any two seconds in which the machine has time for it."""

    def reached() -> float:
        began, before = time.monotonic(), len(run.ids)
        time.sleep(2)
        return (len(run.ids) - before) / (time.monotonic() - began)

    with generating(source_db.writer_dsn, Workload(rate=rate)) as run:
        wait_for(lambda: run.ids, "the first event")
        wait_for(lambda: reached() == pytest.approx(rate, rel=0.2), "the rate")


def test_what_is_written_is_what_the_table_promises(source_db: SourceDatabase) -> None:
    with generating(source_db.writer_dsn, Workload(rate=3_000)) as run:
        wait_for(lambda: len(run.ids) > 6_000, "events")
    with psycopg.connect(source_db.dsn) as connection:
        row = connection.execute("""
            SELECT min(clock_timestamp() - event_ts) > '-1 s', max(clock_timestamp() - event_ts) < '140 s',
                   count(*) FILTER (WHERE content_id IS NULL), count(*) FILTER (WHERE user_id IS NULL),
                   count(*) FILTER (WHERE duration_ms IS NULL), count(*) FILTER (WHERE device IS NULL),
                   count(*) FILTER (WHERE jsonb_typeof(raw_payload) = 'object'),
                   count(*) FILTER (WHERE jsonb_typeof(raw_payload) = 'number'),
                   count(DISTINCT event_type)
              FROM engagement_events""").fetchone()
        contents = connection.execute(
            "SELECT count(*), count(length_seconds), min(length_seconds) FROM content"
        ).fetchone()
    assert row is not None
    assert row[:2] == (True, True)
    assert all(row[2:])
    assert row[8] == 4
    assert contents is not None
    assert contents[0] > contents[1] > 0
    assert contents[2] == 0


def test_content_that_is_there_is_used_and_left_alone(source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        connection.execute("""
            INSERT INTO content VALUES ('00000000-0000-0000-0000-000000000001', 'only', 'Only', 'video', 60, now())""")
    with generating(source_db.writer_dsn, Workload()) as run:
        wait_for(lambda: len(run.ids) > 50, "events")
    with psycopg.connect(source_db.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM content").fetchone() == (1,)


def test_lost_connections_are_replaced_and_notes_stay_true(source_db: SourceDatabase) -> None:
    with generating(source_db.writer_dsn, Workload(rate=1_000)) as run:
        for _ in range(4):
            before = len(run.ids)
            wait_for(lambda: len(run.ids) > before + 500, "events")  # noqa: B023
            with psycopg.connect(source_db.admin_dsn, autocommit=True) as admin:
                admin.execute("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'engagement-generator' AND datname = current_database()""")
        before = len(run.ids)
        wait_for(lambda: len(run.ids) > before + 500, "events after the last loss")
    assert run.outcome is not None
    assert run.outcome.reconnections >= 4
    assert run.lines
    committed, noted = ids_of(source_db), sorted(run.ids)
    assert len(set(noted)) == len(noted)
    assert set(noted) <= set(committed)
    # A commit whose answer was lost may be there without a note: at most one for each connection and loss.
    assert len(set(committed) - set(noted)) < 16 * 100


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="ENGAGEMENT_LOCAL_WRITER_DSN"):
        generate("postgresql://nobody@127.0.0.1:9/none", Workload(), threading.Event())


def test_a_role_that_may_not_write_is_named(source_db: SourceDatabase) -> None:
    with generating(source_db.writer_dsn, Workload()) as run:
        wait_for(lambda: run.ids, "the catalogue")
    with pytest.raises(EngagementError, match="needs SELECT and INSERT"):
        generate(source_db.dsn, Workload(), threading.Event())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_within_a_second_with_true_notes(source_db: SourceDatabase, number: int) -> None:
    child = subprocess.Popen(
        [*COMMAND, "--notes", "-", "--rate", "500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"ENGAGEMENT_LOCAL_WRITER_DSN": source_db.writer_dsn},
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(50)]
    asked = time.monotonic()
    child.send_signal(number)
    lines += child.stdout.readlines()
    assert child.wait(10) == 0
    assert time.monotonic() - asked < 1.5
    assert child.stderr is not None
    assert b"Committed" in child.stderr.read()
    ids = [event_id for line in lines for event_id in notes.decode(line).ids]
    assert sorted(ids) == ids_of(source_db)


def test_the_command_ends_with_whoever_holds_its_standard_input(source_db: SourceDatabase) -> None:
    child = subprocess.Popen(
        [*COMMAND, "--while-stdin-is-open"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"ENGAGEMENT_LOCAL_WRITER_DSN": source_db.writer_dsn},
    )
    wait_for(lambda: _rows(source_db), "events")
    assert child.poll() is None
    child.communicate(timeout=5)
    assert child.returncode == 0


def _rows(source: SourceDatabase) -> int:
    return len(ids_of(source))


def test_the_same_seed_writes_the_same_events(source_db: SourceDatabase) -> None:
    written = []
    for _ in range(2):
        with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
            connection.execute("TRUNCATE engagement_events RESTART IDENTITY")
        with generating(source_db.writer_dsn, Workload(rate=300, writers=1, seed=5)) as run:
            wait_for(lambda: len(run.ids) > 300, "events")
        with psycopg.connect(source_db.dsn) as connection:
            rows = connection.execute(
                "SELECT event_type, device, content_id FROM engagement_events ORDER BY id LIMIT 250"
            )
            written.append(rows.fetchall())
    assert written[0] == written[1]
    assert len(_count_by_type(written[0])) > 1


def _count_by_type(rows: list[tuple[object, ...]]) -> dict[object, int]:
    counts: dict[object, int] = defaultdict(int)
    for row in rows:
        counts[row[0]] += 1
    return counts
