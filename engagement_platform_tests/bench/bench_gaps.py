"""Latency with 10,000 open gaps: 1,000 events a second through relay and tally, measured from commit to Redis.

Transactions are opened that hold ids between those of others; they stay open for more than a minute, in which the
latency is measured. Then half of them are committed and half rolled back, one after another, and the ids in the topic
are compared with those in the source.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice

import msgspec
import psycopg

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.domain import checkpoint
from engagement_platform.domain.ids import count
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.live import latencies, streaming
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.streaming import insert, read_all, wait_for
from engagement_platform_tests.warehouse import source_ids

LOOPS = ("relay", "tally")
GAPS, HOLDERS, RATE = 10_000, 20, 1_000
OPENING_SECONDS, HELD_SECONDS = 10.0, 65.0
"""The last minute of the second is what counts."""
P99_MS, CHECKPOINT_BYTES = 200, 1_000_000


def run(endpoints: Endpoints) -> list[Figure]:
    """Open gaps beside the stream, measure, close them, and compare."""
    with own_place(endpoints, start="earliest") as place, streaming(endpoints, place, LOOPS, RATE) as measuring:
        time.sleep(HELD_SECONDS)
        without = measuring.seen.last_minute_ms
        with gaps(place):
            time.sleep(HELD_SECONDS)
            held = measuring.seen.last_minute_ms
            open_ids, size = _ledger(place.settings)
        measuring.stop_generator()
        wanted = source_ids(place.source)
        wait_for(lambda: measuring.seen.in_redis >= len(wanted), "the last events in Redis")
        found = sorted(
            msgspec.json.decode(r.value)["id"] for r in read_all(place.settings, place.settings.topics.events)
        )
    return [
        *latencies("without gaps", without),
        *latencies("with gaps", held, p99=P99_MS),
        Figure("open ids in the relay's ledger", open_ids, at_least=GAPS),
        Figure("its checkpoint", size, "bytes", at_most=CHECKPOINT_BYTES),
        Figure("events", len(wanted)),
        Figure("events lost", len(set(wanted) - set(found)), at_most=0),
        Figure("events doubled, or not in the source", len(found) - len(set(found) & set(wanted)), at_most=0),
    ]


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


def _ledger(settings: Settings) -> tuple[int, int]:
    """Return how many ids the relay's last checkpoint says are missing, and how large it is in bytes."""
    with open_checkpoints(settings) as checkpoints:
        last = checkpoints.last()
    assert last is not None
    return count(tuple(checkpoint.missing_ranges(last))), len(checkpoint.to_bytes(last))
