"""Reads a batch of a stream, exactly: decimals never pass through a float, times keep their microseconds."""

import json
from base64 import b64decode
from pathlib import Path

import pyarrow as pa
import pyarrow.json

from engagement_platform.adapters.warehouse.port import LoadFailed
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.table import Table

_MAX_ROWS_SHOWN = 20


def read(table: Table, path: Path) -> pa.RecordBatch:
    """Return the rows of a file of NDJSON. Raises LoadFailed, with the lines that cannot be read, and Unavailable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"The batch {path} cannot be read: {error.strerror}.", "It is made again.") from error
    schema = arrow_schema(table)
    read = _read_schema(schema)
    if not data.strip():
        return pa.RecordBatch.from_pylist([], schema)
    try:
        return _parse(data, read, schema)
    except (pa.ArrowException, ValueError) as error:
        raise LoadFailed(
            f"Batch {path} has rows that the table cannot hold.",
            "Nothing of it was loaded.",
            _reasons(data, read, schema) or (str(error),),
        ) from error


def _read_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with text in place of what Arrow reads from JSON in no way, or not in every form."""
    return pa.schema([field.with_type(pa.string()) if _is_text(field.type) else field for field in schema])


def _is_text(of: pa.DataType) -> bool:
    return bool(pa.types.is_floating(of) or pa.types.is_date(of) or pa.types.is_binary(of))


def _converted(column: pa.ChunkedArray, of: pa.DataType) -> pa.ChunkedArray:
    if not pa.types.is_binary(of):
        return column.cast(of)
    return pa.chunked_array(
        [
            [None if text is None else b64decode(text, validate=True) for text in chunk.to_pylist()]
            for chunk in column.chunks
        ],
        of,
    )


def _parse(data: bytes, read: pa.Schema, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows; they are read as one block, since a line must not be longer than a block."""
    rows = pyarrow.json.read_json(
        pa.BufferReader(data),
        read_options=pyarrow.json.ReadOptions(block_size=len(data) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=read, unexpected_field_behavior="error"),
    )
    columns = [_converted(rows.column(field.name), field.type) for field in schema]
    whole = pa.table(columns, schema=schema).combine_chunks()
    return whole.to_batches()[0]


def _reasons(data: bytes, read: pa.Schema, schema: pa.Schema) -> tuple[str, ...]:
    """Return what is wrong with which line, of the first such lines. Slow: it is for people only."""
    reasons: list[str] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            _parse(line, read, schema)
        except (pa.ArrowException, ValueError) as error:
            reasons.append(f"line {number} ({_named(line)}): {error}")
            if len(reasons) == _MAX_ROWS_SHOWN:
                break
    return tuple(reasons)


def _named(line: bytes) -> str:
    """Say which line of a batch it is, by its first column."""
    try:
        name, value = next(iter(json.loads(line).items()))
    except (ValueError, StopIteration, AttributeError):
        return "id unknown"
    return f"{name} {value}"
