"""The tables of the warehouse: one definition, from which each adapter makes its own schema.

A table is partitioned by day (UTC). A day is replaced as a whole; to the table of a stream the live stream appends:
see `domain.stream_table`.
"""

from dataclasses import dataclass
from enum import Enum


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
