"""The four loops under load, each a process with the run's lease: what they cost, and how soon an event is in Redis."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from engagement_platform.local.demo.programs import Measuring
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.live import latencies
from engagement_platform_tests.bench.place import own_place
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.streaming import wait_for

LOOPS = ("relay", "tally", "stage", "forward")
CLIENTS = ("kafka-python", "librdkafka")
RATES = (1_000, 5_000)
WARM_SECONDS, SECONDS = 15.0, 30.0
LOOP = """
from engagement_platform.settings import load
from engagement_platform.stream.lease import hold_lease
from engagement_platform.stream.{loop}.loop import run
settings = load()
with hold_lease(settings, run_id="bench", loop="{loop}", loops={loops}, lease_seconds=3600) as control:
    run(settings, control)
"""


def run(endpoints: Endpoints) -> list[Figure]:
    """Measure each client at each rate."""
    clients = os.environ.get("BENCH_CLIENTS", ",".join(CLIENTS)).split(",")
    rates = [float(rate) for rate in os.environ.get("BENCH_RATES", ",".join(map(str, RATES))).split(",")]
    return [figure for client in clients for rate in rates for figure in _measured(endpoints, client, rate)]


def _measured(endpoints: Endpoints, client: str, rate: float) -> Iterator[Figure]:
    name = f"{client} at {rate:,.0f}/s"
    with own_place(endpoints) as place:
        variables = environment(endpoints, place.settings.state_dir, place.settings)
        variables |= {"ENGAGEMENT_KAFKA_CLIENT": client, "ENGAGEMENT_LOCAL_WRITER_DSN": place.source.writer_dsn}
        measuring = Measuring(place.settings.state_dir, variables)
        with processes(variables, LOOPS) as running:
            try:
                measuring.start_reader()
                measuring.start_generator(Workload(rate, writers=4, seed=7))
                wait_for(lambda: measuring.seen.in_redis, "the first events in Redis", 60)
                time.sleep(WARM_SECONDS)
                began, used, events = time.monotonic(), _cpu(running), measuring.seen.in_redis
                machine = psutil.cpu_times()
                time.sleep(SECONDS)
                seconds, cpu = time.monotonic() - began, _cpu(running)
                busy = sum(psutil.cpu_times()) - psutil.cpu_times().idle - sum(machine) + machine.idle
                seen = measuring.seen
            finally:
                measuring.stop()
    loops = {loop: 100 * (cpu[loop] - used[loop]) / seconds for loop in LOOPS}
    yield Figure(f"{name}: counted", (seen.in_redis - events) / seconds, "events/s")
    yield Figure(f"{name}: the four loops", sum(loops.values()), "% of a core")
    yield from (Figure(f"{name}: {loop}", share, "% of a core") for loop, share in loops.items())
    yield Figure(f"{name}: the machine", 100 * busy / seconds, "% of a core")
    yield from latencies(f"{name}", seen.last_minute_ms)


@contextmanager
def processes(variables: Mapping[str, str], loops: Sequence[str]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run loops in processes of their own while the block runs."""
    running = {
        loop: subprocess.Popen([sys.executable, "-c", LOOP.format(loop=loop, loops=list(loops))], env=dict(variables))
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
