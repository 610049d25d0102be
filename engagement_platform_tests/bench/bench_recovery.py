"""How long nothing reaches Redis when an op, a run or everything is killed, and at a planned hand-over."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from engagement_platform.local import stack, state
from engagement_platform_tests import daemons
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import own_place
from engagement_platform_tests.bench.recovery import LOOPS, Stream, cpu_seconds, memory_mb, streaming
from engagement_platform_tests.integration.dagster_dev import kill
from engagement_platform_tests.streaming import wait_for

TIMES = 3
SETTLED_SECONDS = 10.0
REST_SECONDS = 30.0
HAND_OVERS = 4
LEASE_SECONDS = 20


def run() -> list[Figure]:
    """Use servers of its own, for they are killed, too."""
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    folder.chmod(0o755)
    try:
        return [*_kills(folder), *_hand_overs(folder)]
    finally:
        stack.reset(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _kills(folder: Path) -> list[Figure]:
    endpoints = stack.up(folder, use_usual_ports=False)
    with own_place(endpoints) as place, streaming(endpoints, folder, place) as stream:
        stream.await_spare()
        figures = [*_rest(stream), *(_op(stream, loop) for loop in LOOPS), _run(stream)]
        stream.await_spare()
        seconds = _everything(stream, folder)
        return [
            *figures,
            Figure("gap after SIGKILL of everything, beyond the servers' start", seconds, "s", at_most=15),
        ]


def _rest(stream: Stream) -> list[Figure]:
    everything, waiting = stream.processes(), stream.waiting()
    began, used, used_waiting = time.monotonic(), cpu_seconds(everything), cpu_seconds(waiting)
    time.sleep(REST_SECONDS)
    share = 100 / (time.monotonic() - began)
    return [
        Figure("all of Dagster with a run that waits, at 80 events/s", share * (cpu_seconds(everything) - used), "%"),
        Figure("of it, the run that waits", share * (cpu_seconds(waiting) - used_waiting), "% of a core"),
        Figure("memory of all of Dagster", memory_mb(everything), "MB"),
        Figure("of it, the run that waits", memory_mb(waiting), "MB"),
    ]


def _op(stream: Stream, loop: str) -> Figure:
    gaps = [stream.gap_after(loop, SETTLED_SECONDS) for _ in range(TIMES)]
    return Figure(f"gap after SIGKILL of {loop}, the median of {TIMES}", statistics.median(gaps), "s", at_most=1)


def _run(stream: Stream) -> Figure:
    gaps = []
    for _ in range(TIMES):
        stream.await_spare()
        gaps.append(stream.gap_after("run", SETTLED_SECONDS))
    return Figure(f"gap after SIGKILL of the run, the longest of {TIMES}", max(gaps), "s", at_most=5)


def _everything(stream: Stream, folder: Path) -> float:
    """Kill Dagster, its runs and all servers; return the seconds until events arrive, less those of the servers."""
    leader = stream.dagster.daemon.process()
    assert leader is not None
    kill([leader, *leader.children(recursive=True)])
    for server in stack.servers(state.load(folder)):
        daemons.kill(server.daemon)
    stack.up(folder, use_usual_ports=False)
    began = time.monotonic()
    stream.dagster.stop()
    stream.dagster.start(stream.variables)
    wait_for(lambda: stream.arrivals.times[-1] > began, "events after everything was killed", 120)
    return stream.arrivals.times[-1] - began


def _hand_overs(folder: Path) -> list[Figure]:
    endpoints = stack.up(folder, use_usual_ports=False)
    with (
        own_place(endpoints) as place,
        streaming(endpoints, folder, place, lease_seconds=LEASE_SECONDS) as stream,
    ):
        stream.await_spare()
        began = time.monotonic()
        time.sleep(HAND_OVERS * LEASE_SECONDS)
        gap = 1_000 * stream.arrivals.longest_gap(began)
        return [Figure(f"longest gap in {HAND_OVERS} leases of {LEASE_SECONDS} s", gap, "ms", at_most=300)]
