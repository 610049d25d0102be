"""A table's files as DuckDB reads them."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.dataset import FileSystemDataset, Scanner


class Files(FileSystemDataset):  # type: ignore[misc]  # pyarrow has no types
    """A dataset whose readers begin to read when they are first asked, without Python's lock.

    pyarrow's `to_reader` reads at once and holds the lock meanwhile. Its own threads need the lock to open a file
    through deltalake, which is Python's, and hold a mutex that the reader needs: the whole process stood still.
    """

    def scanner(self, **options: Any) -> "_Scanner":
        """Return a scanner of some columns (`columns`) of the rows that pass a filter (`filter`)."""
        return _Scanner(super().scanner(**options))


class _Scanner:
    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows, batch by batch."""
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches. A generator: nothing is read before the first is asked for."""
        yield from self._scanner.to_batches()


def files_of(handle: DeltaTable) -> Files:
    """Return the files of a table's version."""
    whole = handle.to_pyarrow_dataset()
    return Files(list(whole.get_fragments()), whole.schema, whole.format, whole.filesystem)
