"""All benchmarks in one run, on servers of their own: `make bench`. Ends by itself after some 20 minutes.

`make bench ARGS="relay tally"` runs those only. Each prints its figures beside their budgets (for two cores and
everything on one machine), and how busy the machine was, since a busy one misses budgets for no reason of ours.
`make bench peers` measures what people would take instead: see `peers.command`.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engagement_platform.local import stack
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench import (
    bench_api,
    bench_backfill,
    bench_event_log,
    bench_gaps,
    bench_kafka,
    bench_load,
    bench_read,
    bench_readers,
    bench_rebuild,
    bench_recovery,
    bench_relay,
    bench_rest,
    bench_shards,
    bench_tally,
    bench_upkeep,
    bench_warehouse,
)
from engagement_platform_tests.bench.figures import Figure, table
from engagement_platform_tests.bench.peers import command as peers

BENCHMARKS: Mapping[str, Callable[[Endpoints], Sequence[Figure]]] = {
    "kafka": bench_kafka.run,
    "relay": bench_relay.run,
    "load": bench_load.run,
    "tally": bench_tally.run,
    "shards": bench_shards.run,
    "gaps": bench_gaps.run,
    "read": bench_read.run,
    "readers": bench_readers.run,
    "warehouse": bench_warehouse.run,
    "rebuild": bench_rebuild.run,
    "backfill": bench_backfill.run,
    "api": bench_api.run,
    "recovery": lambda _: bench_recovery.run(),
    "rest": bench_rest.run,
    "event-log": bench_event_log.run,
    "upkeep": lambda _: bench_upkeep.run(),
}


def main() -> None:
    """Run each benchmark against the same servers; peers have servers of their own."""
    if sys.argv[1:2] == ["peers"]:
        peers.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}")
    chosen = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(chosen) - BENCHMARKS.keys():
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    folder.chmod(0o755)
    try:
        endpoints = stack.up(folder, use_usual_ports=False)
        for name in chosen:
            _show(name, BENCHMARKS[name], endpoints)
    finally:
        stack.reset(folder)


def _show(name: str, measure: Callable[[Endpoints], Sequence[Figure]], endpoints: Endpoints) -> None:
    began, before = time.monotonic(), os.getloadavg()[0]
    figures = measure(endpoints)
    seconds, after = time.monotonic() - began, os.getloadavg()[0]
    title = f"{name}: {seconds:.0f} s, load of the machine {before:.1f} before, {after:.1f} after"
    sys.stdout.write(table(title, figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
