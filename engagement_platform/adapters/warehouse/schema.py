"""The tables as Arrow sees them. Rows travel in these types to both warehouses."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from engagement_platform.domain.table import Column, Kind, Table

if TYPE_CHECKING:
    import pyarrow as pa

ANOTHER_NAME = "A column that no message has yet may be given another name, with AS in enriched.sql."
"""What helps before the stream has a column that a table has in another form: later its messages have it."""


def arrow_schema(table: Table) -> "pa.Schema":
    """Return the columns of a table, in order; NUMERIC is decimal128, TIMESTAMP has microseconds in UTC."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.schema(
        [pa.field(column.name, arrow_type(column), nullable=not column.required) for column in table.columns]
    )


def lookalikes(missing: Iterable[str], present: Iterable[str]) -> Iterator[str]:
    """Yield what keeps missing columns from being added: names are the same to a warehouse in upper and lower case."""
    by_lower = {name.lower(): name for name in present}
    for name in missing:
        if name.lower() in by_lower:
            yield f"column {by_lower[name.lower()]} is there, whose name warehouses do not tell from {name}"


def arrow_type(column: Column) -> "pa.DataType":
    """Return the type of a column."""
    import pyarrow as pa  # noqa: PLC0415

    match column.kind:
        case Kind.NUMERIC:
            return pa.decimal128(column.precision, column.scale)
        case Kind.TIMESTAMP:
            return pa.timestamp("us", tz="UTC")
        case kind:
            plain = {
                Kind.INT64: pa.int64,
                Kind.FLOAT64: pa.float64,
                Kind.STRING: pa.string,
                Kind.BOOL: pa.bool_,
                Kind.BYTES: pa.binary,
                Kind.DATE: pa.date32,
            }
            return plain[kind]()
