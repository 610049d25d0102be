"""Latency with 10,000 open gaps: `python -m engagement_platform_tests.bench.bench_gaps`.

At 1,000 events a second, transactions are opened that hold ids between those of others; they stay open for more than a
minute, in which commit to Redis is measured. Then half of them are committed and half rolled back, and the ids in the
topic are compared with those in the source.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from engagement_platform.local import stack
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.bench_rebuild import Place, own_place
from engagement_platform_tests.bench.live import streaming
from engagement_platform_tests.streaming import insert, read_all, wait_for
from engagement_platform_tests.warehouse import source_ids

LOOPS = ("relay", "tally")
GAPS, HOLDERS, RATE = 10_000, 20, 1_000
OPENING_SECONDS, HELD_SECONDS = 10.0, 65.0
"""The last minute of the second is what counts."""


def run(endpoints: Endpoints) -> dict[str, Any]:
    """Open gaps beside the stream, measure, close them, and compare."""
    with own_place(endpoints, start="earliest") as place, streaming(endpoints, place, LOOPS, RATE) as measuring:
        time.sleep(HELD_SECONDS)
        without = measuring.seen.last_minute_ms
        with gaps(place):
            time.sleep(HELD_SECONDS)
            held = measuring.seen.last_minute_ms
        measuring.stop_generator()
        wanted = source_ids(place.source)
        wait_for(lambda: measuring.seen.in_kafka >= len(wanted), "the last events in Kafka")
        found = sorted(msgspec.json.decode(r.value)["id"] for r in read_all(place.settings, place.settings.topic))
    return {
        "open gaps": GAPS,
        "events": len(wanted),
        "lost or doubled": len(set(wanted) ^ set(found)) + len(found) - len(set(found)),
        "ms without gaps": msgspec.to_builtins(without),
        "ms with gaps": msgspec.to_builtins(held),
    }


@contextmanager
def gaps(place: Place) -> Iterator[None]:
    """Hold ids in open transactions, each id between two that are committed."""
    with ExitStack() as stack_of, psycopg.connect(place.source.writer_dsn, autocommit=True) as between:
        holders = [stack_of.enter_context(psycopg.connect(place.source.writer_dsn)) for _ in range(HOLDERS)]
        began = time.monotonic()
        for number, holder in enumerate(islice(cycle(holders), GAPS), 1):
            insert(holder)
            insert(between)
            time.sleep(max(began + OPENING_SECONDS * number / GAPS - time.monotonic(), 0))
        yield
        for number, holder in enumerate(holders):
            holder.rollback() if number % 2 else holder.commit()


def main() -> None:
    """Run against the servers of a state folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".engagement"))
    arguments = parser.parse_args()
    json.dump({"10,000 open gaps": run(stack.up(arguments.state_dir))}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
