"""The rows of one day on their way into a table, batch by batch: read in one thread, written in another.

Delta Lake's writer pulls rows from inside its own event loop, where nothing may use Delta Lake again: a query over
its tables, for one. So the rows are read by a thread of ours, a few batches ahead of the writer.
"""

import threading
from collections.abc import Iterator
from contextvars import copy_context
from datetime import date
from queue import Empty, Full, Queue
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from engagement_platform.adapters.warehouse.delta.tables import as_stored, days_of
from engagement_platform.adapters.warehouse.port import LoadFailed
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.table import Table

_BATCHES_AHEAD = 4
_LOOK_SECONDS = 0.2


class DayStream:
    """Checked rows of a day, as they are stored. A context manager: its end is the end of the thread."""

    def __init__(self, columns: pa.Schema, table: Table, day: date, rows: pa.RecordBatchReader) -> None:
        """`columns` are those of the stored table; `rows` have those of `table`."""
        self._columns = columns
        self._table = table
        self._day = day
        self._source = rows
        self._ready: Queue[pa.RecordBatch | None] = Queue(_BATCHES_AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._read,), name=f"rows of {day}", daemon=True
        )
        self.rows = 0
        self.failure: Exception | None = None
        """What ended the rows early: the writer, which is foreign code, tells only its text."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows for the writer, once."""
        return pa.RecordBatchReader.from_batches(self._columns, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._next()) is not None:
            yield batch
        if self.failure is not None:
            raise self.failure

    def _next(self) -> pa.RecordBatch | None:
        while True:
            try:
                return self._ready.get(timeout=_LOOK_SECONDS)
            except Empty:
                if not self._thread.is_alive() and self._ready.empty():
                    self.failure = self.failure or RuntimeError("the thread that reads the rows ended without a word")
                    return None

    def _read(self) -> None:
        schema = arrow_schema(self._table)
        try:
            for batch in self._source:
                typed = self._typed(batch, schema)
                self._check(typed)
                self.rows += typed.num_rows
                if not self._put(as_stored(self._columns, self._table, typed)):
                    return
        except Exception as error:  # handed over to the thread that writes
            self.failure = error
        self._put(None)

    def _put(self, batch: pa.RecordBatch | None) -> bool:
        """Hand a batch over, or None at the end; return whether anybody still wants it."""
        while not self._ended.is_set():
            try:
                self._ready.put(batch, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return True
        return False

    def _typed(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        try:
            return batch.select(schema.names).cast(schema)
        except ValueError as error:  # Arrow's errors are such
            raise LoadFailed(
                f"{self._table.name} cannot hold a row of {self._day}; it is as it was.",
                "Compare the rows with the table's columns.",
                (str(error),),
            ) from error

    def _check(self, batch: pa.RecordBatch) -> None:
        days = days_of(self._table, batch)
        if not pc.all(pc.equal(days, pa.scalar(self._day)), min_count=0).as_py():
            other = next(day for day in days.to_pylist() if day != self._day)
            raise LoadFailed(
                f"A row of {other} is among those of {self._day}; {self._table.name} is as it was.",
                "Report it: days are cut in UTC before they are written.",
                (f"{self._table.day} of {other}",),
            )
