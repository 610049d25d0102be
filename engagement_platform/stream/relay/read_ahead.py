"""The batch that is read while Kafka commits the one before it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from engagement_platform.adapters.source.rows import Rows
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read has brought, and the ledger after it."""

    started: int
    """When it began, in microseconds since 1970."""
    rows: Rows
    ledger: Ledger
    schema: Schema
    """What its rows are of."""
    lag: int
    """How many ids lie behind a read that was cut off, foreign ones not counted."""


class ReadAhead:
    """One read at a time in a thread of its own. Meanwhile nobody else may use the connection to the source.

    Its batch goes on from a ledger that is not in Kafka yet. So whoever takes it has to have committed that ledger, and
    nothing else: after a commit that failed, or whose outcome is not known, and before a look it is dropped.
    """

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._batch: Future[Batch] | None = None

    def start(self, read: Callable[[], Batch]) -> None:
        """Begin to read."""
        self._batch = self._threads.submit(read)

    def take(self) -> Batch | None:
        """Wait for the batch, and return it once; None where nothing was begun. Raises what the read raised."""
        batch, self._batch = self._batch, None
        return None if batch is None else batch.result()

    def drop(self) -> None:
        """Wait for the end of the read, and forget what it brought, be it an error."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.exception()


@contextmanager
def reading_ahead() -> Iterator[ReadAhead]:
    """Be ready to read ahead while the block runs; at its end nothing reads any more."""
    with ThreadPoolExecutor(1, "relay-reads-ahead") as threads:
        yield ReadAhead(threads)
