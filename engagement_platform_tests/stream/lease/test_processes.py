"""The lease among real processes: hand-over, signals, kills, restarts, a database that goes away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.domain.leases import FROZEN_AFTER, GONE_AFTER, LeaseSnapshot, alive, waiting
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.faults.databases import shut
from engagement_platform_tests.stream.lease.conftest import LOOPS, Process, Start

pytestmark = pytest.mark.slow


def read(settings: Settings) -> LeaseSnapshot:
    leases = Leases(Session(settings, "test"))
    try:
        return leases.snapshot()
    finally:
        leases.close()


def test_a_successor_takes_over_at_the_end_of_the_lease_and_not_before(start: Start, platform: Settings) -> None:
    old = start("old", seconds=6)
    old.sees("owns 1")
    new = start("new", seconds=60)
    new.sees("registered")
    new.sees("owns 2")
    old.sees("stops Run new has taken over", 2)
    assert old.ended(5) == 0
    with psycopg.connect(platform.platform.dsn.get_secret_value()) as connection:
        late = connection.execute(
            "SELECT extract(epoch FROM second.claimed_at - first.ends_at)"
            "  FROM engagement_platform.stream_lease AS first, engagement_platform.stream_lease AS second"
            " WHERE first.epoch = 1 AND second.epoch = 2"
        ).fetchone()
    assert late is not None
    assert 0 <= late[0] < 1


def test_the_loops_of_a_run_hand_over_together(start: Start) -> None:
    old = [start("old", loop, loops=LOOPS, seconds=8) for loop in LOOPS]
    for each in old:
        each.sees("owns 1")
    new = [start("new", loop, loops=LOOPS) for loop in LOOPS]
    for each in new:
        each.sees("owns 2")
    for each in old:
        each.sees("stops", 2)


def test_short_leases_follow_each_other_and_none_ends_before_its_time(start: Start, platform: Settings) -> None:
    """The short form of `make soak ARGS=leases`."""
    for number in range(1, 5):
        for loop in LOOPS:
            start(f"run {number}", loop, loops=LOOPS, seconds=3)
        _until(partial(_has_epoch, platform, number))
    with psycopg.connect(platform.platform.dsn.get_secret_value()) as connection:
        held = connection.execute(
            "SELECT extract(epoch FROM lead(claimed_at) OVER (ORDER BY epoch) - claimed_at)::float"
            "  FROM engagement_platform.stream_lease ORDER BY epoch"
        ).fetchall()
    assert all(seconds >= 3 for (seconds,) in held[:-1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_and_gives_the_lease_back(start: Start, platform: Settings, number: int) -> None:
    loop = start("a")
    loop.sees("owns 1")
    loop.signal(number)
    loop.sees("stops It received", 2)
    loop.sees("ended", 2)
    assert loop.ended(5) == 0
    lease = read(platform).lease
    assert lease is not None
    assert lease.released_at is not None


def test_a_signal_ends_a_loop_that_waits_for_its_turn_without_a_claim(start: Start, platform: Settings) -> None:
    start("a").sees("owns 1")
    waiting = start("b")
    waiting.sees("registered")
    time.sleep(0.5)
    waiting.process.terminate()
    waiting.sees("log The loop ends before its turn came", 2)
    assert waiting.ended(5) == 0
    assert read(platform).epoch == 1


def test_a_waiting_successor_takes_over_from_a_killed_run_within_three_seconds(start: Start) -> None:
    old = start("old")
    old.sees("owns 1")
    new = start("new")
    new.sees("registered")
    time.sleep(1)
    killed = time.monotonic()
    old.process.kill()
    new.sees("owns 2")
    assert 1.5 < time.monotonic() - killed < 6


def test_a_restarted_loop_joins_its_run_and_claims_nothing(start: Start, platform: Settings) -> None:
    first = start("a")
    first.sees("owns 1")
    first.process.kill()
    start("a").sees("owns 1", 5)
    assert read(platform).epoch == 1


def test_a_restarted_loop_of_an_old_run_ends(start: Start, platform: Settings) -> None:
    old = start("old", seconds=1)
    old.sees("owns 1")
    old.process.kill()
    start("new").sees("owns 2")
    again = start("old")
    again.sees("log Run new has taken over")
    assert again.ended(5) == 0
    lease = read(platform).lease
    assert lease is not None
    assert (lease.epoch, lease.released_at) == (2, None)


def test_a_run_outlives_its_lease_until_the_grace_is_over(start: Start) -> None:
    alone = start("a", seconds=1)
    alone.sees("owns 1")
    began = time.monotonic()
    alone.sees("stops The lease ended and no successor came")
    assert time.monotonic() - began > 2.5, "one second of lease, two of grace"


def test_a_frozen_run_loses_the_lease_and_ends_when_it_wakes(start: Start) -> None:
    old = start("old")
    old.sees("owns 1")
    new = start("new")
    new.sees("registered")
    old.signal(signal.SIGSTOP)
    new.sees("owns 2", 30)
    old.signal(signal.SIGCONT)
    old.sees("stops Run new has taken over", 3)
    assert old.ended(5) == 0


def test_a_run_that_is_frozen_as_a_whole_loses_the_lease_within_five_seconds(start: Start) -> None:
    old, new = _one_streams_and_one_waits(start)
    time.sleep(FROZEN_AFTER.total_seconds())  # who waits has watched them
    frozen = time.monotonic()
    for each in old:
        each.signal(signal.SIGSTOP)
    new[0].sees("owns 2")
    assert FROZEN_AFTER.total_seconds() - 1.5 < time.monotonic() - frozen < 6
    for each in old:
        each.signal(signal.SIGCONT)
        each.sees("stops Run new has taken over", 3)
        assert each.ended(5) == 0


def test_busy_processors_cost_no_lease(start: Start, platform: Settings) -> None:
    """Both processors are taken, and a loop gets none at all for longer than a dead one would be waited for."""
    old, new = _one_streams_and_one_waits(start)
    with _busy_processors():
        for stopped in (old[0], old[1]):
            stopped.signal(signal.SIGSTOP)
            time.sleep(GONE_AFTER.total_seconds() + 1)
            stopped.signal(signal.SIGCONT)
    assert read(platform).epoch == 1
    assert not [line for each in new for line in each.seen if line.startswith("owns")]


def _one_streams_and_one_waits(start: Start) -> tuple[list[Process], list[Process]]:
    old = [start("old", loop, loops=LOOPS) for loop in LOOPS]
    for each in old:
        each.sees("owns 1")
    new = [start("new", loop, loops=LOOPS) for loop in LOOPS]
    for each in new:
        each.sees("registered")
    return old, new


@contextmanager
def _busy_processors() -> Iterator[None]:
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_of_the_runs_that_start_beside_one_that_waits_all_end_at_once(start: Start, platform: Settings) -> None:
    start("streams").sees("owns 1")
    start("waits").sees("registered")
    surplus = [start(f"surplus {number}") for number in range(2)]
    for each in surplus:
        assert "Another run waits for the turn already." in each.sees("log The loop ends before its turn came.")
        assert each.ended(10) == 0
    snapshot = read(platform)
    assert snapshot.epoch == 1
    assert waiting(snapshot) == {"waits"}


def test_sessions_that_are_cut_cost_no_lease(start: Start, platform: Settings, stack: Endpoints) -> None:
    old = start("old")
    old.sees("owns 1")
    start("new").sees("registered")
    time.sleep(1)
    for _ in range(2):
        with psycopg.connect(stack.admin_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^engagement-relay-'"
            )
        old.sees("log The platform database does not answer", 5)
        old.sees("log The platform database answers again", 5)
    time.sleep(GONE_AFTER.total_seconds())
    assert read(platform).epoch == 1


def test_without_the_platform_database_the_owner_goes_on(start: Start, platform: Settings, stack: Endpoints) -> None:
    loop = start("a")
    loop.sees("owns 1")
    with shut(platform, stack):
        loop.sees("log The platform database does not answer", 5)
        time.sleep(3)
        assert loop.process.is_alive()
    loop.sees("log The platform database answers again", 5)
    assert len([line for line in loop.seen if "does not answer" in line]) == 1, "one line when it goes"
    _until(lambda: alive(read(platform)))
    assert read(platform).epoch == 1


def _has_epoch(settings: Settings, epoch: int) -> bool:
    return read(settings).epoch == epoch


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
