"""Where the tables lie, what Delta Lake knows of them, and whether it is what the platform needs.

A table is a folder below the warehouse's. It is partitioned by its day: by the column itself when that is a DATE, else
by a DATE column `event_date` that the adapter derives and hides from queries. A column that the platform needs and the
table lacks is added, and null in the rows that are there; one that the platform does not know stays, and is null in the
rows that come.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.adapters.warehouse.port import Conflict, Extent, TableUnusable
from engagement_platform.adapters.warehouse.schema import ANOTHER_NAME, arrow_schema, lookalikes
from engagement_platform.domain.errors import Unavailable, redact
from engagement_platform.domain.table import Kind, Table

DERIVED_DAY = "event_date"
DERIVED = "engagement.derived"
"""Marks, in the metadata of a column, that queries do not see it."""

KEPT_HOURS = 24
"""For how long files that were replaced stay, for those who read an older version."""

LOG_KEPT_HOURS = 4
"""For how long the log's entries stay behind a checkpoint. Each commit lists them all, so fewer are faster; a writer
whose handle is older than the log cannot commit, and a day is written within minutes."""

_CONFIGURATION: dict[str, str | None] = {
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": f"interval {LOG_KEPT_HOURS} hours",
    # Tombstones are carried in every checkpoint until they expire.
    "delta.deletedFileRetentionDuration": f"interval {KEPT_HOURS} hours",
}

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Storage:
    """The folder, or the URL of object storage, that holds the tables. Credentials come from the environment."""

    root: str

    def of(self, name: str) -> str:
        """Return where a table lies."""
        return f"{self.root.rstrip('/')}/{name}"

    @property
    def folder(self) -> Path | None:
        """The folder, or None on object storage."""
        scheme = urlsplit(self.root).scheme
        if scheme == "file":
            return Path(urlsplit(self.root).path)
        return None if scheme else Path(self.root)

    @property
    def options(self) -> dict[str, str] | None:
        """How object storage is spoken to, beside what the environment says.

        The loops wait and try again by themselves, so the client gives up after seconds, not minutes.
        """
        return None if self.folder is not None else {"max_retries": "3", "retry_timeout": "20s"}

    def has(self, name: str) -> bool:
        """Say whether there is a table of that name. Raises Unavailable."""
        with explained(redact(self.of(name)), "reading"):
            return DeltaTable.is_deltatable(self.of(name), self.options)

    def names(self) -> list[str]:
        """Return the names of the tables that lie there. Raises Unavailable."""
        if self.folder is not None and not self.folder.is_dir():
            return []
        with explained(redact(self.root), "listing the tables"):
            files = pa.fs.PyFileSystem(DeltaStorageHandler(self.root, self.options))
            entries = files.get_file_info(pa.fs.FileSelector("", recursive=False))
            folders = (one.base_name for one in entries if one.type == pa.fs.FileType.Directory)
            return sorted(name for name in folders if self.has(name))


def day_column(table: Table) -> str:
    """Return the column that a table is partitioned by."""
    return table.day if table.column(table.day).kind is Kind.DATE else DERIVED_DAY


def stored_schema(table: Table) -> pa.Schema:
    """Return the columns as a new table stores them: the derived day last, the columns' meanings as comments."""
    meanings = {column.name: column.meaning for column in table.columns}
    fields = [field.with_metadata({"comment": meanings[field.name]}) for field in arrow_schema(table)]
    if day_column(table) == DERIVED_DAY:
        metadata = {"comment": f"Day of {table.day} in UTC.", DERIVED: "true"}
        fields.append(pa.field(DERIVED_DAY, pa.date32(), nullable=False, metadata=metadata))
    return pa.schema(fields)


def columns_of(handle: DeltaTable) -> pa.Schema:
    """Return the columns that a table has, in its order."""
    return pa.schema(handle.schema().to_arrow())


def as_stored(columns: pa.Schema, table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows, which have the columns of `arrow_schema`, with those of the stored table: null in the others."""
    given = {name: batch.column(name) for name in batch.schema.names}
    if day_column(table) == DERIVED_DAY:
        given[DERIVED_DAY] = days_of(table, batch)
    arrays = []
    for column in columns:
        array = given.get(column.name)
        if array is None:
            array = pa.nulls(batch.num_rows, column.type)
        arrays.append(array if array.type == column.type else array.cast(column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def days_of(table: Table, batch: pa.RecordBatch) -> pa.Array:
    """Return the day of each row, in UTC."""
    moments = batch.column(table.day)
    if pa.types.is_date(moments.type):
        return moments
    return moments.cast(pa.timestamp("us")).cast(pa.date32())  # without a zone, which Arrow would look up for each row


def predicate(table: Table, day: date) -> str:
    """Return the condition that holds for the rows of a day."""
    return f"{day_column(table)} = '{day.isoformat()}'"


def open_table(storage: Storage, name: str) -> DeltaTable:
    """Return a handle on the table's latest version. Raises TableUnusable, Unavailable."""
    with explained(redact(storage.of(name)), "reading"):
        return DeltaTable(storage.of(name), storage_options=storage.options)


def ensure(storage: Storage, table: Table) -> DeltaTable:
    """Return a handle on the table, which is created, or gets columns, where it lacks them.

    Raises TableUnusable, Unavailable.
    """
    return with_columns(storage, table, find(storage, table) or _create(storage, table))


def with_columns(storage: Storage, table: Table, handle: DeltaTable) -> DeltaTable:
    """Return a handle that has all columns of `table`, the missing ones added behind the others.

    Raises TableUnusable when it has one of them in another form, Unavailable.
    """
    path = redact(storage.of(table.name))
    for _ in range(_TRIES):
        _check(handle, table, path)
        names = columns_of(handle).names
        missing = [field for field in stored_schema(table) if field.name not in names]
        if not missing:
            return handle
        with suppress(Conflict), explained(path, "adding a column"):  # a faster process may have added it
            handle.alter.add_columns(
                Schema.from_arrow(pa.schema(missing)).fields, commit_properties=CommitProperties(max_commit_retries=0)
            )
        handle = open_table(storage, table.name)
    raise Unavailable(f"{path} is written to all the time, and gets no new column.", "It is tried again.")


def find(storage: Storage, table: Table) -> DeltaTable | None:
    """Return a handle on the table's latest version, or None where nothing is. Raises TableUnusable, Unavailable."""
    with explained(redact(storage.of(table.name)), "reading"):
        try:
            handle = DeltaTable(storage.of(table.name), storage_options=storage.options)
        except TableNotFoundError:
            _check_empty(storage, table)
            return None
    _check(handle, table, redact(storage.of(table.name)))
    return handle


def _check_empty(storage: Storage, table: Table) -> None:
    if storage.folder is None:
        return
    folder = storage.folder / table.name
    with explained(str(folder), "reading"):
        if folder.exists() and (not folder.is_dir() or any(path.name != "_delta_log" for path in folder.iterdir())):
            raise TableUnusable(
                f"{folder} exists, has something in it, and is not a Delta table.",
                "Move it away, or let ENGAGEMENT_WAREHOUSE_URI name another folder.",
            )


def _create(storage: Storage, table: Table) -> DeltaTable:
    try:
        with explained(redact(storage.of(table.name)), "creating the table"):
            return DeltaTable.create(
                storage.of(table.name),
                Schema.from_arrow(stored_schema(table)),
                mode="error",
                partition_by=[day_column(table)],
                name=table.name,
                description=table.meaning,
                configuration=_CONFIGURATION,
                storage_options=storage.options,
                # Tried again, it would become a second version, and give the table of a faster process its own id.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
    except Exception as error:
        cause = error.__cause__
        if isinstance(error, Conflict) or (isinstance(cause, DeltaError) and "already exists" in str(cause)):
            return open_table(storage, table.name)  # another process was faster
        raise


def extent(handle: DeltaTable) -> Extent:
    """Return how large a version of a table is, as its log tells."""
    files = pa.table(handle.get_add_actions(flatten=True))
    rows, sizes = files.column("num_records").to_pylist(), files.column("size_bytes").to_pylist()
    return Extent(sum(number or 0 for number in rows), sum(sizes), len(sizes))


def _check(handle: DeltaTable, table: Table, path: str) -> None:
    differences = [*_column_differences(handle, table), *_partition_differences(handle, table)]
    if differences:
        raise TableUnusable(
            f"The table in {path} is not as the platform needs it: {'; '.join(differences)}.",
            f"Change the table back; or move its folder away: it is made again, and its days are rebuilt with "
            f"`engagement-platform backfill`. {ANOTHER_NAME}",
        )


def _column_differences(handle: DeltaTable, table: Table) -> list[str]:
    has, needed = columns_of(handle), stored_schema(table)
    missing = [field for field in needed if field.name not in has.names]
    extra = [field for field in has if field.name not in needed.names]
    both = [(has.field(field.name), field) for field in needed if field.name in has.names]
    return [
        *(f"column {field.name} is missing" for field in missing if not field.nullable),
        *(f"column {field.name} is not the platform's and refuses nulls" for field in extra if not field.nullable),
        *lookalikes([field.name for field in missing], has.names),
        *(f"column {has.name} is {has.type}, not {needed.type}" for has, needed in both if has.type != needed.type),
        *(f"column {has.name} refuses nulls" for has, needed in both if needed.nullable and not has.nullable),
    ]


def _partition_differences(handle: DeltaTable, table: Table) -> list[str]:
    by = handle.metadata().partition_columns
    if by == [day_column(table)]:
        return []
    return [f"it is partitioned by {', '.join(by) or 'nothing'}, not by {day_column(table)}"]
