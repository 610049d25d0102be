"""What each part of the relay's cycle takes, under the load that every relay is measured with; `cycle_work` has the
clock.

The parts: *wait*, from the commit to the begin of the read that brings the event; *read*, with the look at who holds
ids; *prepare*, messages and checkpoint; *send*, until Kafka has them (within the next with librdkafka); *end*, of the
transaction; *visible*, from there until a reader of committed records has the last of them.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.peers import harness, results
from engagement_platform_tests.bench.peers.cycle_work import MARKS
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Load, Running
from engagement_platform_tests.bench.peers.programs import program
from engagement_platform_tests.bench.peers.results import RELAY, Note, Streamed
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.integration.dagster_dev import environment

CLIENTS = ("kafka-python", "librdkafka")
PARTS = ("read", "prepare", "send", "end")
_WORK = "engagement_platform_tests.bench.peers.cycle_work"


@dataclass(frozen=True)
class Cycle:
    """One cycle that brought events."""

    last_id: int
    events: int
    at: Sequence[int]
    """When each of MARKS was, in nanoseconds since 1970."""
    cpu: Sequence[int]
    """The CPU time of the relay's thread by then, in nanoseconds."""


def cycles(bench: Bench, client: str, load: Load) -> list[Figure]:
    """Measure the parts with a client. Raises results.NothingSeen."""
    log = bench.folder / f"cycle-{client}.log"
    contender = Contender(client, partial(_relay, log, client))
    result, notes, seen, window = harness.observed(bench, contender, load)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    every = [Cycle(line[1], line[2], line[3 : 3 + len(MARKS)], line[3 + len(MARKS) :]) for line in lines]
    within = [cycle for cycle in every if window.begin_ns <= cycle.at[0] < window.end_ns]
    return [*_costs(result, within), *_parts(within, seen, notes)]


@contextmanager
def _relay(log: Path, client: str, bench: Bench, place: Place) -> Iterator[Running]:
    variables = environment(bench.endpoints, place.settings.state_dir, place.settings)
    variables["ENGAGEMENT_KAFKA_CLIENT"] = client
    with program("relay", [sys.executable, "-m", _WORK, log], bench.folder, variables) as running:
        yield Running(place.settings.topics.events, running.pid, running.require)


def _costs(result: Streamed, within: Sequence[Cycle]) -> Iterator[Figure]:
    yield Figure("commit to readable, p50", result.p50, "ms")
    yield Figure("commit to readable, p99", result.p99, "ms")
    yield Figure("transactions with events", len(within) / result.seconds, "/s")
    yield Figure("CPU of the relay", result.cpu[RELAY] * result.events / len(within) / 1_000, "ms a transaction")
    yield Figure("CPU of Kafka", result.cpu[results.KAFKA] * result.events / len(within) / 1_000, "ms a transaction")
    yield Figure(
        "CPU of PostgreSQL", result.cpu[results.POSTGRES] * result.events / len(within) / 1_000, "ms a transaction"
    )


def _parts(within: Sequence[Cycle], seen: Mapping[int, int], notes: Sequence[Note]) -> Iterator[Figure]:
    began = {cycle.last_id: cycle.at[0] for cycle in within}
    yield from _figures("wait", [began[note.ids[-1]] - note.committed_ns for note in notes if note.ids[-1] in began])
    for at, name in enumerate(PARTS):
        yield from _figures(name, [cycle.at[at + 1] - cycle.at[at] for cycle in within])
        cpu = sum(cycle.cpu[at + 1] - cycle.cpu[at] for cycle in within) / len(within) / 1e6
        yield Figure(f"{name}, CPU of the relay's thread", cpu, "ms")
    yield from _figures("visible", [seen[cycle.last_id] - cycle.at[-1] for cycle in within if cycle.last_id in seen])


def _figures(name: str, nanoseconds: Sequence[int]) -> Iterator[Figure]:
    ascending = sorted(one / 1e6 for one in nanoseconds)
    for share in (0.5, 0.99):
        yield Figure(f"{name}, p{share * 100:.0f}", results.quantile(ascending, share), "ms")
