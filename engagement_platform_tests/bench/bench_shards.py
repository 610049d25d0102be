"""Two tallies that divide the partitions, against one: the same topic caught up with, each loop on a core of its own.

What grows with the cores is the rate; what the events cost all processes together should stay as it is. Kafka and Redis
share the cores, so on two of them the rate of two loops is that of the machine, not of the loops.
"""

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.shards import Shard, shards_of
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.bench.bench_tally import EVENTS, fill, remove, timed
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import own_place

MOST_DEARER = 1.3
"""How much more an event may cost where two count: each of them has half of a batch, and calls as often."""


def run(endpoints: Endpoints) -> list[Figure]:
    """Let one tally count a topic, and then two another one of the same events."""
    figures: list[Figure] = []
    each = dict[int, float]()
    for number in (1, 2):
        seconds, cpu = _caught_up(endpoints, number)
        each[number] = 1e6 * cpu / EVENTS
        what = "one run" if number == 1 else "two runs"
        figures += [
            Figure(f"{what}, catching up", EVENTS / seconds, "events/s"),
            Figure(f"{what}, processor", each[number], "µs/event"),
        ]
    return [*figures, Figure("an event of two, against one of one", each[2] / each[1], "times", at_most=MOST_DEARER)]


def _caught_up(endpoints: Endpoints, number: int) -> tuple[float, float]:
    """Return the seconds until the last of so many tallies has counted its part, and the processor that all took."""
    with own_place(endpoints) as place:
        tally.run(place.settings, Standalone(drain=True))  # else one of them would build the views from all partitions
        fill(place.settings)
        try:
            spans = side_by_side([(place.settings, shard) for shard in shards_of(number)])
            counted = Views.connect(place.settings).totals().count
        finally:
            remove(place.settings)
    assert counted == EVENTS, f"{counted} of {EVENTS} events are in the views"
    return max(span.end for span in spans) - min(span.begin for span in spans), sum(span.cpu for span in spans)


class Span(NamedTuple):
    """When a tally was at work, in seconds by the machine's monotonic clock, and what it took of the processor."""

    begin: float
    end: float
    cpu: float


def side_by_side(parts: Sequence[tuple[Settings, Shard]]) -> list[Span]:
    """Count the partitions of each shard in a process of its own; they begin at the same moment."""
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(len(parts)), context.Queue()
    processes = [context.Process(target=_drain, args=(*part, together, told)) for part in parts]
    for process in processes:
        process.start()
    try:
        return [told.get(timeout=600) for _ in processes]
    finally:
        for process in processes:
            process.join(10)
            process.kill()


def _drain(settings: Settings, shard: Shard, together: Barrier, told: "Queue[Span]") -> None:
    """Count the partitions of a shard, on a core of its own, and tell when that was."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[shard.index % len(cores)]})
    together.wait(120)
    begin = time.monotonic()
    seconds, cpu = timed(settings, Standalone(drain=True, shard=shard))
    told.put(Span(begin, begin + seconds, cpu))
