"""Writes that take effect once. What a write is known by stands in its own commit, as Delta's application transaction.

The rule behind all of them: what is stored is looked up, and the write made, on one and the same handle. Delta Lake
refuses a commit when another one with the same application id has come since the handle was opened, so whatever was
true at the look-up is still true at the commit.

A day's replacement is stored under one id, with a version made of its number: twice the number when it was retired,
one more when it was written. So the order of the versions is the order of the numbers, and a number that was retired
can be told from one that was written.
"""

import hashlib
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake

from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.adapters.warehouse.delta.stream import DayStream
from engagement_platform.adapters.warehouse.delta.tables import as_stored, columns_of, day_column, predicate
from engagement_platform.adapters.warehouse.port import Load, NumberTaken, Overtaken, Replacement
from engagement_platform.domain.table import Table

LOAD_ID = "engagementLoadId"
"""Under this name the id of a load stands in its commit."""

_OF_A_DAY = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    max_row_group_size=1 << 17,
    default_column_properties=ColumnProperties(statistics_enabled="CHUNK"),
)
"""How the files of a day are written: half the size of Delta's default for less CPU, and little of them in memory."""


def append(handle: DeltaTable, load: Load, rows: pa.RecordBatch, path: str) -> None:
    """Append the rows of a load that `has_load` did not find on this handle. Raises Conflict."""
    properties = CommitProperties(
        custom_metadata={LOAD_ID: load.id},
        app_transactions=[
            Transaction(_load_app(load), load.version),
            Transaction(_load_id_app(load), _digest(load.id)),
        ],
    )
    with explained(path, "writing"):
        stored = as_stored(columns_of(handle), load.table, rows)
        write_deltalake(handle, stored, mode="append", commit_properties=properties)


def has_load(handle: DeltaTable, load: Load, path: str) -> bool:
    """Say whether the table has a load.

    Raises NumberTaken when it has another one under the same or a higher version, and this one is not known.
    """
    stored = handle.transaction_version(_load_app(load))
    if stored is None or stored < load.version:
        return False
    if stored == load.version and handle.transaction_version(_load_id_app(load)) == _digest(load.id):
        return True
    with explained(path, "reading"):
        is_loaded = any(commit.get(LOAD_ID) == load.id for commit in handle.history())
    if not is_loaded:
        raise NumberTaken(path, load)
    return True


def _load_app(load: Load) -> str:
    return f"load:{load.writer}"


def _load_id_app(load: Load) -> str:
    return f"load-id:{load.writer}"


def _digest(load_id: str) -> int:
    """Return a number for an id, since a transaction holds nothing else."""
    return int.from_bytes(hashlib.sha256(load_id.encode()).digest()[:8], "big") >> 1


def is_replaced(handle: DeltaTable, replacement: Replacement) -> bool:
    """Say whether a replacement has been written. Raises Overtaken when it never may be any more."""
    stored = _stored(handle, replacement)
    if stored == _written(replacement):
        return True
    if stored >= _retired(replacement):
        raise Overtaken(f"{replacement.table.name} of {replacement.day}: number {replacement.number}")
    return False


def replace(handle: DeltaTable, replacement: Replacement, rows: pa.RecordBatchReader, path: str) -> int:
    """Replace a day, which `is_replaced` denied on this handle; return how many rows it has now.

    The rows are written as they come. Raises Conflict, and LoadFailed when a row is of another day.
    """
    with DayStream(columns_of(handle), replacement.table, replacement.day, rows) as stream:
        try:
            with explained(path, "writing"):
                write_deltalake(
                    handle,
                    stream.reader(),
                    mode="overwrite",
                    predicate=predicate(replacement.table, replacement.day),
                    writer_properties=_OF_A_DAY,
                    commit_properties=_transaction(replacement, _written(replacement)),
                )
        except Exception as error:
            raise (stream.failure or error) from error
        return stream.rows


def retire(handle: DeltaTable, replacement: Replacement, path: str) -> bool:
    """Leave a mark that keeps a replacement from taking effect, unless it has; return whether it has.

    One whose handle is older than the mark conflicts with it; one that begins later finds it. Of one that a later
    number has overtaken nothing is left, so that counts as no effect. Raises Conflict: look again.
    """
    stored = _stored(handle, replacement)
    if stored < _retired(replacement):
        with explained(path, "writing"):
            handle.create_write_transaction(
                [],
                mode="append",
                schema=handle.schema(),
                partition_by=handle.metadata().partition_columns,
                commit_properties=_transaction(replacement, _retired(replacement)),
            )
    return stored == _written(replacement)


def rows_of_day(handle: DeltaTable, table: Table, day: date, path: str) -> int:
    """Return how many rows a day has."""
    with explained(path, "reading"):
        files = handle.to_pyarrow_dataset(file_pruning_predicate=predicate(table, day))
        return int(files.count_rows(filter=pc.field(day_column(table)) == pa.scalar(day)))


def _stored(handle: DeltaTable, replacement: Replacement) -> int:
    stored = handle.transaction_version(_replacement_app(replacement))
    return -1 if stored is None else stored


def _replacement_app(replacement: Replacement) -> str:
    return f"replace:{replacement.table.name}:{replacement.day}"


def _transaction(replacement: Replacement, version: int) -> CommitProperties:
    return CommitProperties(app_transactions=[Transaction(_replacement_app(replacement), version)])


def _retired(replacement: Replacement) -> int:
    return 2 * replacement.number


def _written(replacement: Replacement) -> int:
    return 2 * replacement.number + 1
