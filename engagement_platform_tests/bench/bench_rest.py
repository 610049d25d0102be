"""What the platform takes while nothing happens: `dagster dev` with a stream on, a run that waits, and no event.

Gives CPU and memory by role, and how long a cold start takes to the first event in Redis. The servers are not counted.
"""

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from engagement_platform.adapters.redis.views import Views
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.bench.recovery import Arrivals, Stream, cpu_seconds, memory_mb, run_processes
from engagement_platform_tests.integration.dagster_dev import dagster_dev, environment
from engagement_platform_tests.streaming import insert, wait_for

REST_SECONDS = 60.0
AT_REST_SECONDS = 10.0
"""How long the run that waits has been ready before the rest is measured: what it has begun is over then."""
CORE_PERCENT, MEMORY_MB, COLD_START_SECONDS = 10, 900, 10
WORDS = {
    "dagster-webserver": "webserver",
    "webserver": "webserver",
    "dagster._daemon": "daemon",
    "code-server": "proxies of code servers",
    "api grpc": "code servers",
}
"""What stands in a process's command -> its role; the first one counts."""


def run(endpoints: Endpoints) -> list[Figure]:
    """Start Dagster over empty servers, let one event through, and look at what it takes until the next."""
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    try:
        with own_place(endpoints, start="earliest") as place:
            return _measured(endpoints, folder, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(endpoints: Endpoints, folder: Path, place: Place) -> list[Figure]:
    with psycopg.connect(place.source.writer_dsn, autocommit=True) as connection:
        insert(connection)
    variables = environment(endpoints, folder, place.settings)
    began = time.monotonic()
    with dagster_dev(folder, variables) as dagster:
        _await_events(place, 1)
        cold_start = time.monotonic() - began
        stream = Stream(place, dagster, variables, Arrivals())
        stream.await_spare()
        time.sleep(AT_REST_SECONDS)
        return [
            Figure("cold start of `dagster dev` to the first event in Redis", cold_start, "s", COLD_START_SECONDS),
            *_rest(stream),
            Figure("commit to Redis of an event after the rest", _lone(place), "ms"),
        ]


def _await_events(place: Place, count: int) -> None:
    views = Views.connect(place.settings)
    wait_for(lambda: views.totals().count >= count, "an event in Redis", 120)
    views.close()


def _lone(place: Place) -> float:
    views = Views.connect(place.settings)
    with psycopg.connect(place.source.writer_dsn, autocommit=True) as connection:
        insert(connection)
        began = time.monotonic()
        while views.totals().count < 2:
            time.sleep(0.001)
        views.close()
        return 1_000 * (time.monotonic() - began)


def _rest(stream: Stream) -> list[Figure]:
    roles = _roles(stream)
    everything = [process for processes in roles.values() for process in processes]
    before = {role: cpu_seconds(processes) for role, processes in roles.items()}
    began = time.monotonic()
    time.sleep(REST_SECONDS)
    share = 100 / (time.monotonic() - began)
    cores = {role: share * (cpu_seconds(processes) - before[role]) for role, processes in roles.items()}
    memory = {role: memory_mb(processes) for role, processes in roles.items()}
    parts = [
        Figure(f"{role}, {len(processes)} processes: {what}", of[role], unit)
        for role, processes in roles.items()
        for what, of, unit in (("CPU", cores, "% of a core"), ("memory", memory, "MB"))
    ]
    return [
        Figure("at rest, all without the servers", sum(cores.values()), "% of a core", CORE_PERCENT),
        Figure(f"memory at rest, {len(everything)} processes", sum(memory.values()), "MB", MEMORY_MB),
        *parts,
    ]


def _roles(stream: Stream) -> Mapping[str, list[psutil.Process]]:
    """Return the processes of Dagster by what they do."""
    roles: dict[str, list[psutil.Process]] = defaultdict(list)
    streams = run_processes(stream.dagster, stream.place.settings)
    waits = stream.waiting()
    for process in stream.processes():
        if process in streams:
            roles["the run that streams"].append(process)
        elif process in waits:
            roles["the run that waits"].append(process)
        else:
            roles[_role(process)].append(process)
    return roles


def _role(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return next((role for words, role in WORDS.items() if words in command), "dagster dev and the rest")
    return "ended"
