"""The JSON API beside the stream: how many rankings a second it answers, how soon, and what that takes of a core.

`engagement-platform serve` is a process of its own, and so is what asks. All of it, the four loops and the servers too,
shares the machine's cores, which two rates of events fill differently. It is told for how much of its time the server
was ready and had no core: a p99 that comes from there says how the machine divides its cores.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

from engagement_platform.local.demo.programs import Measuring
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.bench_load import LOOPS, processes
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.http_load import Asked, ask
from engagement_platform_tests.bench.live import latencies
from engagement_platform_tests.bench.place import apart, own_place
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.streaming import wait_for

EVENTS_PER_SECOND = (500.0, 1_000.0)
REQUESTS_PER_SECOND, P99_MS = 2_000.0, 20.0
CONNECTIONS = 16
WARM_SECONDS, SECONDS, MOST_SECONDS = 10.0, 30.0, 10.0
PATHS = {"top": "/api/v1/top?by=content&measure=ms&limit=10", "status": "/api/v1/status"}
BEGUN = "The page: http://127.0.0.1:"


def run(endpoints: Endpoints) -> list[Figure]:
    """Measure a steady rate of rankings beside two rates of events, as many as there can be, and the status."""
    return [figure for events_per_second in EVENTS_PER_SECOND for figure in _beside(endpoints, events_per_second)]


def _beside(endpoints: Endpoints, events_per_second: float) -> list[Figure]:
    with own_place(endpoints) as place:
        variables = environment(endpoints, place.settings.state_dir, place.settings)
        variables |= {"ENGAGEMENT_LOCAL_WRITER_DSN": place.source.writer_dsn}
        measuring = Measuring(place.settings.state_dir, variables)
        with processes(variables, LOOPS), serving(variables) as (port, pid):
            try:
                measuring.start_reader()
                measuring.start_generator(Workload(events_per_second, writers=4, seed=7))
                wait_for(lambda: measuring.seen.in_redis, "the first events in Redis", 60)
                time.sleep(WARM_SECONDS)
                alone = measuring.seen.last_minute_ms
                psutil.cpu_percent()
                began, events = time.monotonic(), measuring.seen.in_redis
                steady = _ask("top", port, pid, REQUESTS_PER_SECOND, SECONDS)
                rate = (measuring.seen.in_redis - events) / (time.monotonic() - began)
                busy, beside = psutil.cpu_percent(), measuring.seen.last_minute_ms
                most = _ask("top", port, pid, 0, MOST_SECONDS)
                status = _ask("status", port, pid, 0, MOST_SECONDS)
            finally:
                measuring.stop()
    told = json.loads(steady.last)
    assert told["members"], "the ranking is empty"
    assert not told["stale"], "the view is stale"
    name = f"beside {events_per_second:,.0f} events a second"
    per_core = most.answers / most.server_cpu_seconds
    return [
        *_steady(steady, name),
        Figure(f"{name}: the whole machine", busy, "% of all cores"),
        Figure(f"{name}: the stream", rate, "events/s"),
        Figure(
            f"as many as are answered {name}", most.answers / most.seconds, "a second", at_least=REQUESTS_PER_SECOND
        ),
        Figure(f"as many as are answered {name}: p99", most.quantile(0.99), "ms"),
        Figure(f"as many as are answered {name}: for each second of a core", per_core, "rankings"),
        Figure(f"status, as many as are answered {name}", status.answers / status.seconds, "a second"),
        *latencies(f"{name}, before anybody asked", alone),
        *latencies(f"{name} and the rankings", beside),
    ]


def _ask(what: str, port: int, pid: int, rate: float, seconds: float) -> Asked:
    asked = apart(ask, port, PATHS[what], pid, rate, seconds, CONNECTIONS)
    assert not asked.failures, f"{asked.failures} of {asked.answers} answers are errors, as {asked.last!r}"
    return asked


def _steady(asked: Asked, beside: str) -> list[Figure]:
    name = f"{REQUESTS_PER_SECOND:,.0f} rankings a second {beside}"
    per_core = asked.answers / asked.server_cpu_seconds
    waited = 100 * asked.server_waited_seconds / asked.seconds
    return [
        Figure(f"{name}: answered", asked.answers / asked.seconds, "a second", at_least=0.99 * REQUESTS_PER_SECOND),
        Figure(f"{name}: p50", asked.quantile(0.5), "ms"),
        Figure(f"{name}: p99", asked.quantile(0.99), "ms", at_most=P99_MS),
        Figure(f"{name}: max", asked.quantile(1.0), "ms"),
        Figure(f"{name}: of it, p99 of a timer of what asks, which waits for nothing", asked.own_delay(0.99), "ms"),
        Figure(f"{name}: for each second of a core", per_core, "rankings", at_least=REQUESTS_PER_SECOND),
        Figure(f"{name}: engagement-platform serve", 100 * asked.server_cpu_seconds / asked.seconds, "% of a core"),
        Figure(f"{name}: engagement-platform serve, ready, without a core", waited, "% of the time"),
        Figure(f"{name}: what asks", 100 * asked.own_cpu_seconds / asked.seconds, "% of a core"),
    ]


@contextmanager
def serving(variables: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Run `engagement-platform serve` while the block runs; give its port and process."""
    command = [sys.executable, "-m", "engagement_platform", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=dict(variables), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(BEGUN), line
        yield int(line.removeprefix(BEGUN)), process.pid
    finally:
        process.terminate()
        process.wait(20)
