"""The stream beside a benchmark: loops in processes of their own, the generator, and the process that measures."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engagement_platform.local.demo.programs import Measuring
from engagement_platform.local.demo.visibility import Quantiles
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.streaming import wait_for

LOOP = """
from engagement_platform.settings import load
from engagement_platform.stream.{loop}.loop import run
from engagement_platform.stream.control import Standalone
run(load(), Standalone())
"""


@contextmanager
def streaming(endpoints: Endpoints, place: Place, loops: Sequence[str], rate: float) -> Iterator[Measuring]:
    """Run loops and generator while the block runs; begin once events are seen in Redis."""
    folder = place.settings.state_dir
    variables = environment(endpoints, folder, place.settings)
    variables["ENGAGEMENT_LOCAL_WRITER_DSN"] = place.source.writer_dsn
    measuring = Measuring(folder, variables)
    running = [subprocess.Popen([sys.executable, "-c", LOOP.format(loop=loop)], env=variables) for loop in loops]
    try:
        measuring.start_reader()
        measuring.start_generator(Workload(rate, writers=4, seed=7))
        wait_for(lambda: measuring.seen.in_redis, "the first events in Redis")
        yield measuring
    finally:
        measuring.stop()
        for process in running:
            process.kill()
            process.wait()


def latencies(when: str, found: Quantiles, p50: float | None = None, p99: float | None = None) -> list[Figure]:
    """Return the latencies from commit to Redis as figures, with their budgets where there are some."""
    return [
        Figure(f"commit to Redis, p50, {when}", _known(found.p50), "ms", at_most=p50),
        Figure(f"commit to Redis, p99, {when}", _known(found.p99), "ms", at_most=p99),
        Figure(f"commit to Redis, max, {when}", _known(found.max), "ms"),
    ]


def _known(milliseconds: float | None) -> float:
    """Return what was measured; a benchmark that saw no event has measured nothing."""
    assert milliseconds is not None, "no event was seen in Redis"
    return milliseconds
