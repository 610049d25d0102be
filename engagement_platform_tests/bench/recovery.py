"""A stream under `dagster dev` that is watched: rows are written all the time, and the gap is how long none arrived."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import Unavailable
from engagement_platform.local.demo.programs import Dagster
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.integration.dagster_dev import children, dagster_dev, environment, kill
from engagement_platform_tests.ports import owners
from engagement_platform_tests.streaming import insert, wait_for

LOOPS = ("relay", "tally", "stage", "forward")
WRITE_SECONDS = 0.01
LOOK_SECONDS = 0.005


@dataclass
class Arrivals:
    """When the number of counted events grew, by the monotonic clock."""

    times: list[float] = field(default_factory=list)

    def longest_gap(self, since: float) -> float:
        """Return the longest time without growth, in seconds, that ended after `since`, or goes on."""
        times = list(self.times)
        pairs = zip(times, [*times[1:], time.monotonic()], strict=True)
        return max((after - before for before, after in pairs if after >= since), default=0.0)


@contextmanager
def watched(place: Place) -> Iterator[Arrivals]:
    """Write rows and watch them arrive while the block runs, whatever happens to the servers."""
    arrivals, ending = Arrivals(), threading.Event()

    def write() -> None:
        while not ending.wait(0.2):
            with suppress(psycopg.Error), psycopg.connect(place.source.writer_dsn, autocommit=True) as connection:
                while not ending.wait(WRITE_SECONDS):
                    insert(connection)

    def watch() -> None:
        views, before = Views.connect(place.settings), -1
        while not ending.wait(LOOK_SECONDS):
            with suppress(Unavailable):
                count = views.totals().count
                if count != before:
                    arrivals.times.append(time.monotonic())
                before = count
        views.close()

    threads = [threading.Thread(target=work) for work in (write, watch)]
    for thread in threads:
        thread.start()
    try:
        yield arrivals
    finally:
        ending.set()
        for thread in threads:
            thread.join()


@dataclass
class Stream:
    """A stream that runs, and what arrives of it."""

    place: Place
    dagster: Dagster
    variables: Mapping[str, str]
    arrivals: Arrivals

    def await_spare(self) -> None:
        """Wait until all loops of a run that waits are ready."""
        wait_for(self._spare_is_ready, "a run that waits and is ready", 120)

    def _spare_is_ready(self) -> bool:
        with psycopg.connect(self.place.settings.platform.dsn.get_secret_value()) as connection:
            row = connection.execute(
                "SELECT count(*) FROM engagement_platform.stream_loop"
                " WHERE ready_at IS NOT NULL AND ended_at IS NULL AND heartbeat_at > now() - interval '2 seconds'"
                "   AND awaits > (SELECT max(epoch) FROM engagement_platform.stream_lease)"
            ).fetchone()
        return row is not None and row[0] == len(LOOPS)

    def gap_after(self, fault: str, seconds: float) -> float:
        """Let something die; return the longest gap within so many seconds, or until events arrive again."""
        began = time.monotonic()
        if fault in LOOPS:
            os.kill(process_of(self.place.settings, fault), signal.SIGKILL)
        else:
            kill(run_processes(self.dagster, self.place.settings))
        time.sleep(seconds)
        wait_for(lambda: self.arrivals.times[-1] > time.monotonic() - 1, "events after the fault", 120)
        return self.arrivals.longest_gap(began)

    def epochs(self) -> list[float]:
        """Return for how long each epoch that has ended was held, in seconds, the oldest first."""
        with psycopg.connect(self.place.settings.platform.dsn.get_secret_value()) as connection:
            rows = connection.execute(
                "SELECT extract(epoch FROM lead(claimed_at) OVER (ORDER BY epoch) - claimed_at)::float"
                "  FROM engagement_platform.stream_lease ORDER BY epoch"
            ).fetchall()
        return [row[0] for row in rows if row[0] is not None]

    def processes(self) -> list[psutil.Process]:
        """Return all processes of Dagster."""
        leader = self.dagster.daemon.process()
        assert leader is not None
        return [leader, *leader.children(recursive=True)]

    def waiting(self) -> list[psutil.Process]:
        """Return the processes of the run that waits."""
        return run_processes(self.dagster, self.place.settings, waits=True)


@contextmanager
def streaming(endpoints: Endpoints, folder: Path, place: Place, **settings: object) -> Iterator[Stream]:
    """Run `dagster dev` with changed settings, and wait until events arrive."""
    changed = {f"ENGAGEMENT_{name.upper()}": str(value) for name, value in settings.items()}
    variables = environment(endpoints, folder, place.settings) | changed
    with dagster_dev(folder, variables) as dagster, watched(place) as arrivals:
        wait_for(lambda: len(arrivals.times) > 100, "the first events", 180)
        yield Stream(place, dagster, variables, arrivals)


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return what processes have taken so far, in seconds of one core."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:2])
    return total


def memory_mb(processes: list[psutil.Process]) -> float:
    """Return the memory of processes in megabytes, what several share divided among them."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / (1 << 20)


def run_processes(dagster: Dagster, settings: Settings, *, waits: bool = False) -> list[psutil.Process]:
    """Return the processes of the run that holds the lease, or waits for it: its worker, its forkserver and its ops."""
    op = psutil.Process(process_of(settings, "relay", waits=waits))
    forkserver = op.parent()
    assert forkserver is not None
    worker = forkserver.parent()
    assert worker is not None
    assert worker in children(dagster, "multiprocessing")
    return [worker, *worker.children(recursive=True)]


def process_of(settings: Settings, loop: str, *, waits: bool = False) -> int:
    """Return the process of a loop of the run that holds the lease, or waits for it, by the session that beats."""
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        row = connection.execute(
            "SELECT client_port, inet_server_port()"
            "  FROM pg_stat_activity AS session JOIN engagement_platform.stream_loop AS loop"
            "       ON (backend_pid, loop.backend_start) = (pid, session.backend_start)"
            " WHERE loop.loop = %s AND awaits = (SELECT max(epoch) + %s FROM engagement_platform.stream_lease)",
            [loop, int(waits)],
        ).fetchone()
    assert row is not None, f"{loop} has no session"
    return owners(*row)[0].pid
