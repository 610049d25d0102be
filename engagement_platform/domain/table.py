"""The tables of the warehouse: one definition, from which each adapter makes its own schema.

A table is partitioned by day (UTC). A day is replaced as a whole; to the table of a stream the live stream appends.
That table is a function of the stream and of the schema of its messages.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from engagement_platform.domain.columns import Base, Schema
from engagement_platform.domain.columns import Column as StreamColumn

if TYPE_CHECKING:
    from engagement_platform.domain.event_stream import EventStream


class Kind(Enum):
    """The type of a column, by BigQuery's name."""

    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    STRING = "STRING"
    BOOL = "BOOL"
    BYTES = "BYTES"
    NUMERIC = "NUMERIC"
    """Decimal with the digits that its column says."""
    TIMESTAMP = "TIMESTAMP"
    """In UTC, to the microsecond."""
    DATE = "DATE"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; null is allowed unless `required`."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    precision: int = 18
    """Of NUMERIC: digits in all."""
    scale: int = 2
    """Of NUMERIC: digits after the point."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `day` names the column, DATE or TIMESTAMP, that decides in which day's partition a row lies."""

    name: str
    meaning: str
    day: str
    clustered_by: tuple[str, ...]
    columns: tuple[Column, ...]
    is_of_stream: bool = False
    """Whether batches of a stream are appended to it; any other table is written by queries alone."""

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]


_KINDS = {
    Base.INTEGER: Kind.INT64,
    Base.NUMERIC: Kind.NUMERIC,
    Base.FLOAT: Kind.FLOAT64,
    Base.BOOLEAN: Kind.BOOL,
    Base.TEXT: Kind.STRING,
    Base.CHAR: Kind.STRING,
    Base.UUID: Kind.STRING,
    Base.DATE: Kind.DATE,
    Base.TIMESTAMP: Kind.TIMESTAMP,
    Base.JSON: Kind.STRING,
    Base.JSONB: Kind.STRING,
    Base.BYTES: Kind.BYTES,
    Base.ARRAY: Kind.STRING,
}


def table_of(stream: "EventStream", schema: Schema) -> Table:
    """Return the table, with the columns in the schema's order and the stream's meanings for them."""
    return Table(
        stream.table,
        stream.meaning,
        day=schema.time,
        clustered_by=stream.clustered_by,
        columns=tuple(_column(stream, schema, column) for column in schema.columns),
        is_of_stream=True,
    )


def _column(stream: "EventStream", schema: Schema, column: StreamColumn) -> Column:
    meaning, required = stream.meanings.get(column.name, ""), schema.is_required(column)
    if column.type.base is Base.NUMERIC:
        return Column(column.name, Kind.NUMERIC, meaning, required, column.type.precision, column.type.scale)
    return Column(column.name, _KINDS[column.type.base], meaning, required)
