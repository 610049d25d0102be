"""Compares two readings of a day, row by row and column by column, in memory that does not grow with the day.

Both come in chunks that ascend by id. Values are compared exactly: NULL is NULL, NaN is NaN, -0.0 is not 0.0, numbers
are equal whatever their scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.days import bounds
from engagement_platform.domain.event_stream import EventStream

Array = np.ndarray[Any, Any]

CHUNK_ROWS = 100_000
_NAMED = 5
_LOWEST = -(1 << 63)
_OF_BIGQUERY = "decimal128(38, 9)"
"""The type in which BigQuery gives every NUMERIC, whatever its scale."""


@dataclass(slots=True)
class ColumnDiff:
    """How a column differs."""

    rows: int = 0
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    """Id, before, after."""


@dataclass(slots=True)
class DayDiff:
    """How two readings of a day differ."""

    before_rows: int = 0
    after_rows: int = 0
    rows: int = 0
    """Rows of both that differ in a column of both."""
    only_before: int = 0
    only_after: int = 0
    doubled_before: int = 0
    doubled_after: int = 0
    named: dict[str, list[int]] = field(default_factory=dict)
    """Ids of rows that are only on one side, or doubled: the first few."""
    columns: dict[str, ColumnDiff] = field(default_factory=dict)
    sums: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    """Of columns of numbers: before and after."""
    added: dict[str, str] = field(default_factory=dict)
    """Columns that only the later reading has, with their type."""
    gone: dict[str, str] = field(default_factory=dict)
    """Those that only the former one has, and not null in every row: a table keeps a column that has gone, as null."""
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        counts = (self.rows, self.only_before, self.only_after, self.doubled_before, self.doubled_after)
        return any(counts) or bool(self.added or self.gone or self.retyped)


def day_in_warehouse(
    warehouse: Warehouse, stream: EventStream, day: date, rows: int = CHUNK_ROWS
) -> Iterator[pa.Table]:
    """Yield the rows that the warehouse has for a day, ascending by id, in chunks of so many rows; one at least.

    All of it is of one moment, however the table is written to meanwhile. The table is not touched: a column that the
    stream has and the table has not yet is not added. Raises QueryFailed.
    """
    begin, end = bounds(day)
    first, snapshot = _LOWEST, warehouse.snapshot(stream.table)
    while True:
        chunk = snapshot.query(_chunk_of(stream, snapshot.name, rows), {"begin": begin, "end": end, "first": first})
        ids = _ids(chunk, stream.source.id)
        if chunk.num_rows < rows:
            yield chunk
            return
        complete = int((ids < ids[-1]).sum())  # the last id may go on in the next chunk
        if complete:
            yield chunk.slice(0, complete)
            first = int(ids[-1])
        else:
            rows *= 2


def _chunk_of(stream: EventStream, table: str, rows: int) -> str:
    number, time = f"`{stream.source.id}`", f"`{stream.source.time}`"
    return (
        f"SELECT * FROM {table} WHERE {time} >= @begin AND {time} < @end AND {number} >= @first "  # noqa: S608
        f"ORDER BY {number} LIMIT {rows}"
    )


def compare(number: str, before: Iterator[pa.Table], after: Iterator[pa.Table], examples: int) -> DayDiff:
    """Compare two readings, each of one chunk at least; `number` is the name of the id, which both have."""
    diff = DayDiff()
    for one, other in _aligned(number, before, after):
        _compare_types(diff, one.schema, other.schema)
        _Chunk(diff, number, one, other, examples).compare()
    return diff


def _ids(table: pa.Table, number: str) -> Array:
    ids: Array = table.column(number).to_numpy()
    return ids


def _aligned(number: str, before: Iterator[pa.Table], after: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield chunks of both with the same range of ids."""
    one, other = next(before, None), next(after, None)
    if one is None or other is None:
        raise ValueError("a reading has one chunk at least, which may be empty")
    empty, other_empty = one.slice(0, 0), other.slice(0, 0)
    yield empty, other_empty  # so that the types are compared without a row, too
    one, other = _filled(one, before), _filled(other, after)
    while one is not None or other is not None:
        top = min(int(_ids(chunk, number)[-1]) for chunk in (one, other) if chunk is not None)
        left, one = _split(one, number, top, empty)
        right, other = _split(other, number, top, other_empty)
        yield left, right
        one, other = _filled(one, before), _filled(other, after)


def _filled(chunk: pa.Table | None, following: Iterator[pa.Table]) -> pa.Table | None:
    while chunk is not None and not chunk.num_rows:
        chunk = next(following, None)
    return chunk


def _split(chunk: pa.Table | None, number: str, top: int, empty: pa.Table) -> tuple[pa.Table, pa.Table | None]:
    if chunk is None:
        return empty, None
    at = int(np.searchsorted(_ids(chunk, number), top, side="right"))
    return chunk.slice(0, at), chunk.slice(at)


def _compare_types(diff: DayDiff, before: pa.Schema, after: pa.Schema) -> None:
    for name in after.names:
        if name not in before.names:
            diff.added[name] = str(after.field(name).type)
        elif not _same_type(before.field(name).type, after.field(name).type):
            diff.retyped[name] = (str(before.field(name).type), str(after.field(name).type))


def _same_type(one: pa.DataType, other: pa.DataType) -> bool:
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        return one == other or str(one) == _OF_BIGQUERY
    plain = str(one).removeprefix("large_") == str(other).removeprefix("large_")
    return bool(
        plain
        or (pa.types.is_timestamp(one) and pa.types.is_timestamp(other))
        or (pa.types.is_integer(one) and pa.types.is_integer(other))
    )


class _Chunk:
    """The same range of ids in both readings."""

    def __init__(self, diff: DayDiff, number: str, before: pa.Table, after: pa.Table, examples: int) -> None:
        self._diff, self._number, self._examples = diff, number, examples
        self._before, self._after = before, after

    def compare(self) -> None:
        diff = self._diff
        diff.before_rows += self._before.num_rows
        diff.after_rows += self._after.num_rows
        for name in self._before.column_names:
            column = self._before.column(name)
            if name not in self._after.column_names and column.null_count < len(column):
                diff.gone[name] = str(column.type)
        self._add_sums()
        ids, first, times = np.unique(_ids(self._before, self._number), return_index=True, return_counts=True)
        later, later_first, later_times = np.unique(
            _ids(self._after, self._number), return_index=True, return_counts=True
        )
        diff.only_before += self._name("only_before", np.setdiff1d(ids, later, assume_unique=True))
        diff.only_after += self._name("only_after", np.setdiff1d(later, ids, assume_unique=True))
        diff.doubled_before += self._name("doubled_before", ids[times > 1])
        diff.doubled_after += self._name("doubled_after", later[later_times > 1])
        common, at, later_at = np.intersect1d(ids, later, assume_unique=True, return_indices=True)
        self._compare_values(common, first[at], later_first[later_at])

    def _name(self, what: str, ids: Array) -> int:
        names = self._diff.named.setdefault(what, [])
        names += ids[: max(_NAMED - len(names), 0)].tolist()
        return len(ids)

    def _compare_values(self, ids: Array, at: Array, later_at: Array) -> None:
        before, after = self._before.take(at), self._after.take(later_at)
        differs = np.zeros(len(ids), bool)
        for name in before.column_names:
            if name == self._number or name not in after.column_names:
                continue
            one, other = before.column(name).combine_chunks(), after.column(name).combine_chunks()
            different = ~_equal(one, other)
            count = int(different.sum())
            if count:
                self._note(name, ids, different, one, other)
                differs |= different
        self._diff.rows += int(differs.sum())

    def _note(self, name: str, ids: Array, different: Array, one: Any, other: Any) -> None:
        column = self._diff.columns.setdefault(name, ColumnDiff())
        rows = different.nonzero()[0]
        column.rows += len(rows)
        for row in rows[: max(self._examples - len(column.examples), 0)].tolist():
            column.examples.append((int(ids[row]), _said(one[row].as_py()), _said(other[row].as_py())))

    def _add_sums(self) -> None:
        for name in self._before.column_names:
            if name != self._number and name in self._after.column_names:
                columns = (self._before.column(name), self._after.column(name))
                if all(_is_number(column.type) for column in columns):
                    was = self._diff.sums.get(name, (Decimal(0), Decimal(0)))
                    self._diff.sums[name] = (was[0] + _sum(columns[0]), was[1] + _sum(columns[1]))


def _is_number(of: pa.DataType) -> bool:
    return bool(pa.types.is_integer(of) or pa.types.is_decimal(of))


def _sum(column: Any) -> Decimal:
    """Return the exact sum."""
    scale = column.type.scale if pa.types.is_decimal(column.type) else 0
    total = pc.sum(column.cast(pa.decimal256(76, scale))).as_py()
    return Decimal(0) if total is None else Decimal(total)


def _equal(one: Any, other: Any) -> Array:
    """Return for each place whether both have the same value, as booleans."""
    one, other = _comparable(one, other)
    nulls, other_nulls = (pc.is_null(values).to_numpy(zero_copy_only=False) for values in (one, other))
    if pa.types.is_floating(one.type):
        left, right = (values.fill_null(0.0).to_numpy(zero_copy_only=False) for values in (one, other))
        same = (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
    else:
        same = pc.fill_null(pc.equal(one, other), fill_value=False).to_numpy(zero_copy_only=False)
    result: Array = (nulls & other_nulls) | (same & ~nulls & ~other_nulls)
    return result


def _comparable(one: Any, other: Any) -> tuple[Any, Any]:
    """Return both in one type: numbers as the wider one, else as texts where the types differ."""
    if one.type == other.type:
        return one, other
    if _is_number(one.type) and _is_number(other.type):
        scale = max(of.scale if pa.types.is_decimal(of) else 0 for of in (one.type, other.type))
        return one.cast(pa.decimal256(76, scale)), other.cast(pa.decimal256(76, scale))
    if pa.types.is_timestamp(one.type) and pa.types.is_timestamp(other.type):
        return one.cast(pa.timestamp("us", "UTC")), other.cast(pa.timestamp("us", "UTC"))
    if _same_type(one.type, other.type):
        return one.cast(other.type), other
    return _texts(one), _texts(other)


def _texts(values: Any) -> Any:
    return pa.array([None if value is None else _said(value) for value in values.to_pylist()], pa.string())


def _said(value: Any) -> str:
    """Return a value for people."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
