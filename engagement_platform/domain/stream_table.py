"""The table of a stream in the warehouse: a function of the stream and of the schema of its messages."""

from engagement_platform.domain.columns import Base, Schema
from engagement_platform.domain.columns import Column as MessageColumn
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.table import Column, Kind, Table

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


def table_of(stream: EventStream, schema: Schema) -> Table:
    """Return the table, with the columns in the schema's order and the stream's meanings for them."""
    return Table(
        stream.table,
        stream.meaning,
        day=schema.time,
        clustered_by=stream.clustered_by,
        columns=tuple(_column(stream, schema, column) for column in schema.columns),
        is_of_stream=True,
    )


def _column(stream: EventStream, schema: Schema, column: MessageColumn) -> Column:
    meaning, required = stream.meanings.get(column.name, ""), schema.is_required(column)
    if column.type.base is Base.NUMERIC:
        return Column(column.name, Kind.NUMERIC, meaning, required, column.type.precision, column.type.scale)
    return Column(column.name, _KINDS[column.type.base], meaning, required)
