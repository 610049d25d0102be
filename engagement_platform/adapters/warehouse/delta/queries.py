"""Answers queries with DuckDB over the latest version of the tables. DuckDB sees these tables and nothing else.

A filter on the day's column (`event_ts >= … AND event_ts < …`) leaves files out by their statistics; one on an
expression of it (`DATE(event_ts) = …`) reads them all.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.dataset import FileSystemDataset, Scanner, field

from engagement_platform.adapters.sql import identifier
from engagement_platform.adapters.warehouse.delta import dialect
from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.adapters.warehouse.delta.tables import DERIVED, Storage, open_table
from engagement_platform.adapters.warehouse.port import Parameter, QueryFailed, RowOfDay
from engagement_platform.domain.errors import redact
from engagement_platform.domain.table import Column, Kind, Table


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


_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
_TYPES = {
    Kind.INT64: "BIGINT",
    Kind.FLOAT64: "DOUBLE",
    Kind.STRING: "VARCHAR",
    Kind.BOOL: "BOOLEAN",
    Kind.BYTES: "BLOB",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
    Kind.DATE: "DATE",
}
_ROWS_AT_ONCE = 32_768


@contextmanager
def answered(
    storage: Storage,
    sql: str,
    parameters: Mapping[str, Parameter] | None,
    shape: Table | None = None,
    *,
    handles: Mapping[str, DeltaTable] | None = None,
) -> Iterator[pa.RecordBatchReader]:
    """Give the answer to a query in BigQuery's dialect, batch by batch. Raises QueryFailed.

    With a `shape` the answer has its columns and their types; else whole numbers of any width become INT64.
    Of tables that `handles` has, the version of the handle is read.
    """
    query = dialect.translate(sql)
    given = _chosen(query, parameters or {})
    with _connection() as connection, explained_query():
        for name in query.tables:
            _show(connection, storage, name, (handles or {}).get(name) or existing(storage, name))
        answer = connection.sql(query.sql, params=given) if given else connection.sql(query.sql)
        typed = answer.project(_columns(answer) if shape is None else _shaped(answer, shape))
        yield typed.to_arrow_reader(_ROWS_AT_ONCE)


def _chosen(query: dialect.Translated, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    missing = sorted(query.parameters - given.keys())
    if missing:
        raise QueryFailed(f"The query has parameters without a value: {', '.join('@' + name for name in missing)}.")
    return {name: value for name, value in given.items() if name in query.parameters}


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config=_LOCKED)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


@contextmanager
def explained_query() -> Iterator[None]:
    """Raise QueryFailed for what the engine raises."""
    try:
        yield
    except duckdb.Error as error:
        what = str(error).split("\n\nLINE ")[0]
        raise QueryFailed(f"The query failed: {' '.join(what.split()).rstrip('.')}.") from error


def _show(connection: duckdb.DuckDBPyConnection, storage: Storage, name: str, handle: DeltaTable) -> None:
    """Make a table known under its bare name, without the columns that the adapter derives."""
    with explained(redact(storage.of(name)), "reading"):
        connection.register(f"stored {name}", files_of(handle))
    shown = ", ".join(identifier(field.name) for field in handle.schema().fields if DERIVED not in field.metadata)
    connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT {shown} FROM {identifier('stored ' + name)}")  # noqa: S608


def files_with(handle: DeltaTable, row: RowOfDay) -> tuple[str, ...]:
    """Return the files that have a row, by their paths in the table's folder: by their statistics, and a look into few.

    Reading one raises what pyarrow raises.
    """
    condition = (field(row.id) == row.number) & (field(row.time) >= row.begin) & (field(row.time) < row.end)
    fragments = handle.to_pyarrow_dataset().get_fragments(filter=condition)
    return tuple(sorted(one.path for one in fragments if one.count_rows(filter=condition)))


def existing(storage: Storage, name: str) -> DeltaTable:
    """Return a handle on the latest version of a table. Raises QueryFailed where there is none."""
    if not name.isidentifier() or not storage.has(name):
        raise QueryFailed(f"There is no table {name}.", f"There are: {', '.join(storage.names()) or 'none'}.")
    return open_table(storage, name)


def require_single(names: Sequence[str]) -> None:
    """Raise QueryFailed where an answer has several columns of one name."""
    doubled = sorted(name for name, times in Counter(names).items() if times > 1)
    if doubled:
        raise QueryFailed(
            f"The answer has more than one column {', '.join(doubled)}.", "Give them other names with AS."
        )


def _columns(answer: duckdb.DuckDBPyRelation) -> str:
    require_single(answer.columns)
    types = zip(answer.columns, answer.types, strict=True)
    return ", ".join(
        f"CAST({identifier(name)} AS BIGINT) AS {identifier(name)}" if str(kind) in _INTEGERS else identifier(name)
        for name, kind in types
    )


def _shaped(answer: duckdb.DuckDBPyRelation, shape: Table) -> str:
    names = [column.name for column in shape.columns]
    if sorted(answer.columns) != sorted(names):
        raise QueryFailed(
            f"The query for {shape.name} gives the columns {', '.join(answer.columns)}.",
            f"It must give {', '.join(names)}.",
        )
    return ", ".join(f"{_typed(column)} AS {identifier(column.name)}" for column in shape.columns)


def column_type(column: Column) -> str:
    """Return the engine's type of a column."""
    return f"DECIMAL({column.precision}, {column.scale})" if column.kind is Kind.NUMERIC else _TYPES[column.kind]


def _typed(column: Column) -> str:
    """Return a column in its type. A sum beyond NUMERIC is null: one wild duration must not cost the day its table."""
    name = identifier(column.name)
    if column.kind is not Kind.NUMERIC:
        return f"CAST({name} AS {_TYPES[column.kind]})"
    largest = "9" * (column.precision - column.scale) + ("." + "9" * column.scale if column.scale else "")
    return f"CASE WHEN abs({name}) <= {largest} THEN CAST({name} AS DECIMAL({column.precision}, {column.scale})) END"
