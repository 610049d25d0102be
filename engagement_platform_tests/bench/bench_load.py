"""The four loops under load, each a process with the run's lease: what they cost, and how soon an event is in Redis.

`BENCH_RATES` and `BENCH_CLIENTS` choose some rates and clients. `BENCH_BEFORE` is the folder of an earlier commit with
its environment in .venv: its loops run under the same load, and are what budgets compare with.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import loops_of
from engagement_platform.domain.progress import LATE
from engagement_platform.local.demo.programs import Measuring
from engagement_platform.local.demo.visibility import Quantiles
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.live import latencies
from engagement_platform_tests.bench.place import own_place
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.streaming import wait_for

LOOPS = ("relay", "tally", "stage", "forward")
CLIENTS = ("kafka-python", "librdkafka")
BEFORE = "before"
RATES = (1_000, 5_000, 10_000)
WARM_SECONDS, SECONDS = 15.0, 30.0
LONG_RATE, LONG_SECONDS = 10_000, 300.0
"""The rate that has to be held for minutes."""
LONG_P99_MS = 1_000
CPU_RATE, CPU_TIMES = 1_000, 0.5
P99_RATE, P99_TIMES = 5_000, 0.25
"""At such a rate, at most so many times what it was before."""
LOOP = """
try:
    from engagement_platform.settings import load
    from engagement_platform.stream.{loop}.loop import run
except ImportError:  # an earlier commit
    from engagement_platform.settings import Settings as load
    from engagement_platform.stream.{loop} import run
from engagement_platform.stream.lease import hold_lease
settings = load()
with hold_lease(settings, run_id="bench", loop="{loop}", loops={loops}, lease_seconds=3600) as control:
    run(settings, control)
"""


@dataclass(frozen=True)
class Load:
    """What loops did at a rate: their and the machine's share of a core in percent, latencies in milliseconds."""

    who: str
    rate: float
    counted_per_second: float
    loops: Mapping[str, float]
    machine: float
    latencies: Quantiles
    late: int
    """Events that were readable in Redis later than promised."""
    missed: int
    """Events that came too late for the window."""

    @property
    def all_loops(self) -> float:
        """What the four loops took."""
        return sum(self.loops.values())

    @property
    def figures(self) -> Iterator[Figure]:
        """The figures beside their budgets."""
        name, is_long = f"{self.who} at {self.rate:,.0f}/s", self.rate == LONG_RATE and self.who != BEFORE
        held = 0.99 * self.rate if is_long else None
        yield Figure(f"{name}: counted", self.counted_per_second, "events/s", at_least=held)
        yield Figure(f"{name}: later than promised", self.late, "events", at_most=0 if is_long else None)
        yield Figure(f"{name}: too late for the window", self.missed, "events", at_most=0 if is_long else None)
        yield Figure(f"{name}: the four loops", self.all_loops, "% of a core")
        yield from (Figure(f"{name}: {loop}", share, "% of a core") for loop, share in self.loops.items())
        yield Figure(f"{name}: the machine", self.machine, "% of a core")
        yield from latencies(name, self.latencies, p99=LONG_P99_MS if is_long else None)


def run(endpoints: Endpoints) -> list[Figure]:
    """Measure each client at each rate, and the earlier commit where there is one."""
    clients = os.environ.get("BENCH_CLIENTS", ",".join(CLIENTS)).split(",")
    rates = [float(rate) for rate in os.environ.get("BENCH_RATES", ",".join(map(str, RATES))).split(",")]
    before = os.environ.get("BENCH_BEFORE")
    figures: list[Figure] = []
    for rate in rates:
        loads = [_measured(endpoints, client, rate, Path(sys.executable)) for client in clients]
        if before is not None and rate < LONG_RATE:
            then = _measured(endpoints, BEFORE, rate, Path(before).absolute() / ".venv" / "bin" / "python")
            figures += [*then.figures, *(figure for now in loads for figure in _compared(now, then))]
        figures += [figure for load in loads for figure in load.figures]
    return figures


def _compared(now: Load, before: Load) -> Iterator[Figure]:
    name = f"{now.who} at {now.rate:,.0f}/s / {before.who}"
    cpu, p99 = now.all_loops / before.all_loops, (now.latencies.p99 or 0) / (before.latencies.p99 or 1)
    yield Figure(f"{name}: the four loops", cpu, "times", at_most=CPU_TIMES if now.rate == CPU_RATE else None)
    yield Figure(f"{name}: p99", p99, "times", at_most=P99_TIMES if now.rate == P99_RATE else None)


def _measured(endpoints: Endpoints, who: str, rate: float, python: Path) -> Load:
    with own_place(endpoints) as place:
        if who == BEFORE:  # it makes what it keeps by itself
            with psycopg.connect(place.settings.platform.dsn.get_secret_value(), autocommit=True) as platform:
                platform.execute("DROP SCHEMA engagement_platform CASCADE")
        variables = environment(endpoints, place.settings.state_dir, place.settings)
        client = CLIENTS[0] if who == BEFORE else who
        variables |= {"ENGAGEMENT_KAFKA_CLIENT": client, "ENGAGEMENT_LOCAL_WRITER_DSN": place.source.writer_dsn}
        measuring = Measuring(place.settings.state_dir, variables)
        with processes(variables, LOOPS, python) as running:
            try:
                measuring.start_reader()
                measuring.start_generator(Workload(rate, writers=4, seed=7))
                wait_for(lambda: measuring.seen.in_redis, "the first events in Redis", 60)
                time.sleep(WARM_SECONDS)
                began, used, events = time.monotonic(), _cpu(running), measuring.seen.in_redis
                machine = psutil.cpu_times()
                time.sleep(LONG_SECONDS if rate == LONG_RATE else SECONDS)
                seconds, cpu = time.monotonic() - began, _cpu(running)
                busy = sum(psutil.cpu_times()) - psutil.cpu_times().idle - sum(machine) + machine.idle
                seen = measuring.seen
            finally:
                measuring.stop()
        with Session(place.settings, "bench") as session:
            missed = loops_of(session, "bench")["tally"].figures.count(LATE)
    return Load(
        who,
        rate,
        (seen.in_redis - events) / seconds,
        {loop: 100 * (cpu[loop] - used[loop]) / seconds for loop in LOOPS},
        100 * busy / seconds,
        seen.latency_ms if rate == LONG_RATE else seen.last_minute_ms,
        seen.late,
        missed,
    )


@contextmanager
def processes(
    variables: Mapping[str, str], loops: Sequence[str], python: Path | None = None
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run loops in processes of their own while the block runs, by whichever Python has their code."""
    program = str(python or sys.executable)
    folder = variables["ENGAGEMENT_STATE_DIR"]  # not that of this checkout, whose package would come first
    running = {
        loop: subprocess.Popen(
            [program, "-c", LOOP.format(loop=loop, loops=list(loops))], env=dict(variables), cwd=folder
        )
        for loop in loops
    }
    try:
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def _cpu(running: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, float]:
    times = {loop: psutil.Process(process.pid).cpu_times() for loop, process in running.items()}
    return {loop: taken.user + taken.system for loop, taken in times.items()}
