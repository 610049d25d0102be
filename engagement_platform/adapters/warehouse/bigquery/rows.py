"""Rows on their way into a load job: NDJSON that loses no digit, and Parquet written as the rows come."""

import errno
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from engagement_platform.adapters.warehouse.port import LoadFailed
from engagement_platform.domain.errors import Unavailable

_GROUP_BYTES = 32 << 20
"""Of rows in memory, before they are written as one row group."""
_GROUP_ROWS = 100_000
_LONG_NUMBER = re.compile(rb"[0-9.eE+-]{16,}")
"""At least every number of more digits than a float holds."""
_POSITION = re.compile(r"position (?:at )?(\d+)|position: (\d+)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def exact_lines(batch: Path, folder: Path) -> Iterator[IO[bytes]]:
    """Give a file of NDJSON whose numbers BigQuery takes as they are.

    A number in JSON is a float to BigQuery: a longer one has to be a string. Lines without any are not touched.
    """
    try:
        opened = batch.open("rb")
    except OSError as error:
        raise Unavailable(f"The batch {batch} cannot be read: {error.strerror}.", "It is made again.") from error
    with opened as file:
        if not any(_LONG_NUMBER.search(line) for line in file):
            yield file
            return
        file.seek(0)
        with _scratch(folder) as copy:
            for line in file:
                _write(folder, copy.write, _quoted(line))
            _write(folder, copy.flush)
            yield copy


def _quoted(line: bytes) -> bytes:
    if not _LONG_NUMBER.search(line):
        return line
    try:
        row = json.loads(line, parse_int=str, parse_float=str)
    except ValueError:
        return line  # BigQuery says what is wrong with it
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def located(file: IO[bytes]) -> Callable[[str], str]:
    """Return what puts the number of the line before an error that names a position in the file."""

    def told(error: str) -> str:
        match = _POSITION.search(error)
        if match is None:
            return error
        file.seek(0)
        before = file.read(int(match[1] or match[2]))
        return f"line {before.count(10) + 1}: {error}"

    return told


@contextmanager
def parquet_of(columns: pa.Schema, rows: pa.RecordBatchReader, folder: Path) -> Iterator[IO[bytes]]:
    """Give a file with the rows of a day, read batch by batch. It has no name, so nothing of it can be left behind.

    It has `columns`, with null in those that the rows have not. Raises LoadFailed when a required column is null,
    Unavailable when the disk is full, and what reading raises.
    """
    with _scratch(folder) as file:
        with _writer(file, columns, folder) as write:
            for group in _groups(rows):
                whole = _with_all(columns, group)
                _check_required(whole, columns)
                write(whole.cast(columns))
        _write(folder, file.flush)
        yield file


@contextmanager
def _writer(file: IO[bytes], schema: pa.Schema, folder: Path) -> Iterator[Callable[[pa.Table], None]]:
    writer = pq.ParquetWriter(file, schema, compression="zstd")
    try:
        yield lambda group: _write(folder, writer.write_table, group)
    except BaseException:
        writer.is_open = False  # what was written is thrown away: no footer has to fit on the disk
        raise
    _write(folder, writer.close)


def _groups(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in rows:
        held.append(batch)
        if sum(one.nbytes for one in held) >= _GROUP_BYTES or sum(one.num_rows for one in held) >= _GROUP_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _with_all(columns: pa.Schema, group: pa.Table) -> pa.Table:
    """Return rows with all columns, in their order; null where the rows have none."""
    for column in columns:
        if column.name not in group.schema.names:
            group = group.append_column(column, pa.nulls(group.num_rows, column.type))
    return group.select(columns.names)


def _check_required(group: pa.Table, schema: pa.Schema) -> None:
    for field in schema:
        if not field.nullable and group.column(field.name).null_count:
            raise LoadFailed(
                f"Rows have no {field.name}.", "Nothing was loaded.", (f"{field.name} is null but required",)
            )


@contextmanager
def _scratch(folder: Path) -> Iterator[IO[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    file = TemporaryFile(dir=folder)  # noqa: SIM115 - a full disk fails closing it too, and hides the first failure
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def _write(folder: Path, act: Callable[..., object], *values: object) -> None:
    try:
        act(*values)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Unavailable(
            f"There is no room left in {folder} for the rows on their way to BigQuery; the table is as it was.",
            "Make room on the disk; it is tried again.",
        ) from error


def size_of(file: IO[bytes]) -> int:
    """Return the bytes of an open file."""
    return file.seek(0, 2)
