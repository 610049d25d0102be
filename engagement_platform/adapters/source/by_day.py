"""Splits a stream of Arrow batches, ordered by day, into one stream for each day. Of a day only the ids are kept."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    AtEnd = Callable[["np.ndarray[Any, Any]"], None]

_MICROSECONDS_OF_A_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()


class ByDay:
    """Batches that are ordered by the day of their column `time`. Days are asked for in ascending order, each once.

    `number` is the column of the ids; `twice` returns what to raise where an id comes more than once on a day.
    """

    def __init__(
        self,
        batches: "Iterator[pa.RecordBatch]",
        schema: "pa.Schema",
        *,
        number: str,
        time: str,
        twice: Callable[[int], Exception],
    ) -> None:
        self._batches = batches
        self._schema = schema
        self._number, self._time, self._twice = number, time, twice
        self._rest: pa.RecordBatch | None = None
        self.failure: Exception | None = None
        """What ended a stream early. Whoever reads a stream from foreign code sees only its text."""

    def of(self, day: date, at_end: "AtEnd" = lambda _: None) -> "pa.RecordBatchReader":
        """Return the rows of a day; it has to be read to its end before the next day is asked for.

        `at_end` is called behind the last row with the ids of the day, ascending; what it raises ends the
        stream.
        """
        import pyarrow as pa  # noqa: PLC0415

        self.failure = None
        return pa.RecordBatchReader.from_batches(self._schema, self._noting_failure(day, at_end))

    def _noting_failure(self, day: date, at_end: "AtEnd") -> "Iterator[pa.RecordBatch]":
        import numpy as np  # noqa: PLC0415

        ids = [np.empty(0, np.int64)]
        try:
            for batch in self._slices(day.toordinal() - _EPOCH):
                # A copy: a view would keep the whole batch, whose columns the driver lets go together.
                ids.append(batch.column(self._number).to_numpy().copy())
                yield batch
            at_end(self._ascending(np.concatenate(ids)))
        except Exception as error:
            self.failure = error
            raise

    def _ascending(self, ids: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        import numpy as np  # noqa: PLC0415

        if bool(np.all(ids[1:] > ids[:-1])):
            return ids
        unique, times = np.unique(ids, return_counts=True)
        if len(unique) < len(ids):
            raise self._twice(int(unique[times > 1][0]))
        return unique

    def _slices(self, day: int) -> "Iterator[pa.RecordBatch]":
        while (batch := self._next()) is not None:
            inside = _rows_up_to(batch.column(self._time), day)
            if inside < batch.num_rows:
                self._rest = batch.slice(inside)
            if inside:
                yield batch.slice(0, inside)
            if inside < batch.num_rows:
                return

    def _next(self) -> "pa.RecordBatch | None":
        """Return what is left of the batch in hand, or the next one, in the types of the schema."""
        batch, self._rest = self._rest, None
        if batch is None:
            batch = next(self._batches, None)
            while batch is not None and not batch.num_rows:
                batch = next(self._batches, None)
            batch = None if batch is None else batch.select(self._schema.names).cast(self._schema)
        return batch


def _rows_up_to(times: "pa.Array", day: int) -> int:
    """Return how many rows, which begin a batch, are of days up to `day`, counted from 1970-01-01."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    microseconds = times.cast(pa.int64())
    return int(pc.sum(pc.less(microseconds, (day + 1) * _MICROSECONDS_OF_A_DAY)).as_py())
