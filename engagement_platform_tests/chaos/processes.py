"""Faults of processes: the platform's own are killed and frozen, one by one and all at once."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP

import psutil
import psycopg

from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.system import System
from engagement_platform_tests.ports import owners
from engagement_platform_tests.streaming import wait_for

LOOPS = ("relay", "tally", "stage", "forward")
_SESSION = """
SELECT client_port
  FROM pg_stat_activity AS session
  JOIN engagement_platform.stream_loop AS loop ON (backend_pid, loop.backend_start) = (pid, session.backend_start)
 WHERE loop.loop = %s AND awaits = (SELECT max(epoch) FROM engagement_platform.stream_lease)
"""
PATIENCE = 60.0
ENDING_SECONDS = 20.0
"""`dagster dev` takes so long to notice that a part is gone, and to end the others."""


def op_of(system: System, loop: str) -> psutil.Process:
    """Return the process of a loop of the run that streams: whoever has the session that beats, behind the proxy."""
    found: list[psutil.Process] = wait_for(lambda: list(_op_of(system, loop)), f"the session of {loop}", PATIENCE)
    return found[0]


def _op_of(system: System, loop: str) -> Iterator[psutil.Process]:
    with suppress(psycopg.Error, psutil.Error):
        with psycopg.connect(system.addresses()["platform_admin"], dbname="engagement_platform") as connection:
            row = connection.execute(_SESSION, [loop]).fetchone()
        proxies = system.servers.proxies
        if row and (port := proxies.owner_port("platform", row[0])):
            yield from owners(port, proxies.ports["platform"])


def run_of(system: System) -> list[psutil.Process]:
    """Return the processes of the run that streams: its worker, its forkserver and its ops."""
    forkserver = op_of(system, "relay").parent()
    assert forkserver is not None
    worker = forkserver.parent()
    assert worker is not None
    return [worker, *worker.children(recursive=True)]


def of_dagster(system: System, *words: str) -> list[psutil.Process]:
    """Return the processes of `dagster dev` whose command line has one of the words."""
    leader = system.dagster.daemon.process()
    assert leader is not None
    found = []
    for child in [leader, *leader.children(recursive=True)]:
        with suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if any(word in command for word in words):
                found.append(child)
    return found


def signal_all(processes: Sequence[psutil.Process], number: int) -> None:
    """Send a signal to all that are there."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


@contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Freeze processes while the block runs."""
    signal_all(processes, SIGSTOP)
    try:
        yield
    finally:
        signal_all(processes, SIGCONT)


def _kill_op(loop: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        os.kill(op_of(system, loop).pid, SIGKILL)

    return inflict


def _freeze_op(loop: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        with frozen([op_of(system, loop)]):
            time.sleep(luck.uniform(6, 12))
        system.healed()

    return inflict


def _kill_run(system: System, luck: Random) -> None:
    wait_for(system.spare_is_ready, "a run that waits", 180)
    signal_all(run_of(system), SIGKILL)


def _freeze_run(system: System, luck: Random) -> None:
    """Freeze it for longer than a lease may be silent: its successor streams, and then it wakes as a zombie."""
    wait_for(system.spare_is_ready, "a run that waits", 180)
    with frozen(run_of(system)):
        time.sleep(luck.uniform(10, 20))


def _kill_worker(system: System, luck: Random) -> None:
    wait_for(system.spare_is_ready, "a run that waits", 180)
    signal_all(run_of(system)[:1], SIGKILL)


def _kill_of_dagster(*words: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        """Kill a part of `dagster dev`, which ends without some of them: then it is started again, its runs with it."""
        signal_all(of_dagster(system, *words), SIGKILL)
        until = time.monotonic() + ENDING_SECONDS
        while system.dagster.daemon.is_running and time.monotonic() < until:
            time.sleep(0.5)
        system.keep_dagster()

    return inflict


def _freeze_of_dagster(*words: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        with frozen(of_dagster(system, *words)):
            time.sleep(luck.uniform(8, 15))

    return inflict


def _kill_everything(system: System, luck: Random) -> None:
    """Kill Dagster, its runs and all servers at once, as a power cut would."""
    wait_for(system.spare_is_ready, "a run that waits", 180)
    leader = system.dagster.daemon.process()
    assert leader is not None
    signal_all([leader, *leader.children(recursive=True)], SIGKILL)
    system.dagster.kill_leftovers()
    for server in system.servers.all.values():
        server.daemon.signal(SIGKILL)
    for server in system.servers.all.values():
        wait_for(lambda server=server: not server.daemon.is_running, "the end of a server")  # type: ignore[misc]
    for server in system.servers.all.values():
        server.start()
    system.healed()
    system.dagster.start(system.variables)


def _two_runs(system: System, luck: Random) -> None:
    """Launch another run beside the two that there are, while the one that streams is frozen for a moment."""
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "job", "launch", "-w", "workspace.yaml", "-j", "engagement_stream"],
        env=system.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with frozen([op_of(system, luck.choice(LOOPS))]):
        time.sleep(luck.uniform(3, 6))
    system.healed()
    process.wait(120)


_OP = {"redis": 1.0}
_RUN = {"redis": 5.0, "kafka": 5.0}
_ITSELF = "the platform, by itself"
_SUPERVISED = "whoever supervises Dagster starts it again where it ends"


FAULTS: tuple[Fault, ...] = (
    *(Fault(f"kill {loop}", f"kill -9 of the op {loop}", _ITSELF, _kill_op(loop), 12.0, _OP) for loop in LOOPS),
    *(
        Fault(f"freeze {loop}", f"SIGSTOP of the op {loop} for 6 to 12 s, then SIGCONT: one loop that is silent may be"
              " starved, and is waited for", _ITSELF, _freeze_op(loop), 30.0, _RUN, since="healed")
        for loop in LOOPS
    ),
    Fault("kill the run", "kill -9 of the run's worker, forkserver and ops", _ITSELF, _kill_run, 30.0, _RUN,
          needs="Dagster"),
    Fault("kill the worker", "kill -9 of the run's worker: its ops are orphans", _ITSELF, _kill_worker, 30.0, _RUN,
          needs="Dagster"),
    Fault("freeze the run", "SIGSTOP of all its processes for 10 to 20 s, then SIGCONT: zombies beside the next run",
          _ITSELF, _freeze_run, 45.0, _RUN, needs="Dagster"),
    Fault("two runs", "another run launched, while an op of the one that streams is frozen for 3 to 6 s", _ITSELF,
          _two_runs, 40.0, _RUN, since="healed", needs="Dagster"),
    Fault("kill the code server", "kill -9 of Dagster's code server", _SUPERVISED,
          _kill_of_dagster("dagster code-server", "dagster api grpc"), 40.0, _RUN, needs="Dagster"),
    Fault("kill the daemon", "kill -9 of Dagster's daemon", _SUPERVISED, _kill_of_dagster("dagster._daemon"), 40.0,
          _RUN, needs="Dagster"),
    Fault("freeze the daemon", "SIGSTOP of Dagster's daemon for 8 to 15 s", _ITSELF,
          _freeze_of_dagster("dagster._daemon"), 30.0, needs="Dagster"),
    Fault("kill everything", "kill -9 of Dagster, its runs and all servers", "all of it is started again",
          _kill_everything, 60.0, {"redis": 15.0, "kafka": 15.0, "warehouse": 20.0, "partner": 30.0}, "healed",
          needs="Dagster"),
)  # fmt: skip
