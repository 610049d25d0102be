"""The generator as a plain function: several writers side by side, until a stop event."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.generator.plans import Plan, Workload, plans
from engagement_platform.local.generator.sessions import Item, Sessions
from engagement_platform.local.generator.writer import Note, Pacer, Writer, fill_catalogue

_LAST_TRANSACTIONS_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written, of what is known to be committed."""

    events: int
    transactions: int
    undone: int
    reconnections: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"Committed {self.events:,} events in {self.transactions:,} transactions within {self.seconds:.1f} s "
            f"({self.events / max(self.seconds, 0.001):,.0f} events/s); rolled back {self.undone:,}."
        )


def generate(
    dsn: str,
    workload: Workload,
    stop: threading.Event,
    *,
    note: Note = lambda _at, _ids: None,
    log: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Write events until `stop` is set; return within a second of it.

    `note` is called for each committed transaction, from several threads. Raises Unavailable when PostgreSQL does not
    answer at the start, EngagementError when it refuses to write; a loss of connection later is waited out.
    """
    items = fill_catalogue(dsn, workload.seed)
    pacer = Pacer(workload.rate)
    writers = [
        Writer(dsn, _plans(items, workload, number), pacer, stop, note, log) for number in range(workload.writers)
    ]
    threads = [threading.Thread(target=writer.run, daemon=True) for writer in writers]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    stop.wait()
    seconds = time.monotonic() - began
    _join(threads)
    for failure in filter(None, (writer.failure for writer in writers)):
        raise EngagementError(failure.what, failure.todo)
    return _outcome(writers, seconds)


def _plans(items: list[Item], workload: Workload, number: int) -> Iterator[Plan]:
    random = Random(f"writer {number} of {workload.writers}, {workload.seed}")  # noqa: S311
    return plans(random, Sessions(random, items, workload.rate / workload.writers), workload)


def _join(threads: list[threading.Thread]) -> None:
    """Wait for the transactions in hand; a server that does not answer is not waited for."""
    deadline = time.monotonic() + _LAST_TRANSACTIONS_SECONDS
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))


def _outcome(writers: list[Writer], seconds: float) -> Outcome:
    return Outcome(
        events=sum(writer.tally.events for writer in writers),
        transactions=sum(writer.tally.transactions for writer in writers),
        undone=sum(writer.tally.undone for writer in writers),
        reconnections=sum(writer.tally.reconnections for writer in writers),
        seconds=seconds,
    )
