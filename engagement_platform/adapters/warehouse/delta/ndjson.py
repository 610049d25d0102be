"""Reads a batch of the live stream, exactly: decimals never pass through a float, times keep their microseconds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.json

from engagement_platform.adapters.warehouse.port import LoadFailed
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event import id_of
from engagement_platform.domain.table import Table

_MAX_ROWS_SHOWN = 20


def read(table: Table, path: Path) -> pa.RecordBatch:
    """Return the rows of a file of NDJSON. Raises LoadFailed, with the lines that cannot be read, and Unavailable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"The batch {path} cannot be read: {error.strerror}.", "It is made again.") from error
    return _parsed(table, data, str(path))


def _parsed(table: Table, data: bytes, name: str) -> pa.RecordBatch:
    schema = arrow_schema(table)
    if not data.strip():
        return pa.RecordBatch.from_pylist([], schema)
    try:
        rows = _parse(data, schema)
    except pa.ArrowException as error:
        raise LoadFailed(
            f"Batch {name} has rows that the table cannot hold.",
            "Nothing of it was loaded.",
            _reasons(data, schema) or (str(error),),
        ) from error
    return rows


def _parse(data: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows; they are read as one block, since a line must not be longer than a block."""
    rows = pyarrow.json.read_json(
        pa.BufferReader(data),
        read_options=pyarrow.json.ReadOptions(block_size=len(data) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    whole = rows.select(schema.names).cast(schema).combine_chunks()
    return whole.to_batches()[0]


def _reasons(data: bytes, schema: pa.Schema) -> tuple[str, ...]:
    """Return what is wrong with which line, of the first such lines. Slow: it is for people only."""
    reasons: list[str] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            _parse(line, schema)
        except pa.ArrowException as error:
            reasons.append(f"line {number} (id {id_of(line) or 'unknown'}): {error}")
            if len(reasons) == _MAX_ROWS_SHOWN:
                break
    return tuple(reasons)
