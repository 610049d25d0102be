"""The tables as Arrow sees them. Rows travel in these types to both warehouses."""

from typing import TYPE_CHECKING

from engagement_platform.domain.table import Kind, Table

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_schema(table: Table) -> "pa.Schema":
    """Return the columns of a table, in order; NUMERIC is decimal128(18, 2), TIMESTAMP has microseconds in UTC."""
    import pyarrow as pa  # noqa: PLC0415

    kinds = {
        Kind.INT64: pa.int64(),
        Kind.FLOAT64: pa.float64(),
        Kind.STRING: pa.string(),
        Kind.NUMERIC: pa.decimal128(18, 2),
        Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
        Kind.DATE: pa.date32(),
    }
    return pa.schema(
        [pa.field(column.name, kinds[column.kind], nullable=not column.required) for column in table.columns]
    )
