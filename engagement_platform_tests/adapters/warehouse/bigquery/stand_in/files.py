"""Reads the file of a load job by the rules of its format. Raises JobError with an error for each row."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.errors import JobError
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.tables import Stored
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.values import ARROW, FORMER, parse


def read(stored: Stored, kind: str, data: bytes, config: dict[str, Any]) -> pa.Table:
    """Return the rows of a file. A job whose schema is not the table's fails."""
    _check_schema(stored, config)
    return _READERS[kind](stored, data)


def _check_schema(stored: Stored, config: dict[str, Any]) -> None:
    """https://cloud.google.com/bigquery/docs/managing-table-schemas: a load may not change a table unless told so."""
    if config.get("autodetect") or config.get("ignoreUnknownValues") or int(config.get("maxBadRecords") or 0):
        raise JobError("invalid", "The stand-in loads all rows as the schema says, or none")
    given = config.get("schema", {}).get("fields")
    if given is not None and [_shape(field) for field in given] != [_shape(field) for field in stored.fields]:
        raise JobError("invalid", f"Provided Schema does not match Table {stored.name}.")
    partitioning = config.get("timePartitioning")
    if partitioning is not None and partitioning.get("field") != stored.day_column:
        raise JobError("invalid", f"Incompatible table partitioning specification for {stored.name}.")
    clustering = config.get("clustering")
    if clustering is not None and clustering != stored.resource.get("clustering"):
        raise JobError("invalid", f"Incompatible clustering specification for {stored.name}.")


def _shape(field: dict[str, Any]) -> tuple[str, str, str]:
    return field["name"], FORMER.get(field["type"], field["type"]), field.get("mode") or "NULLABLE"


def _ndjson(stored: Stored, data: bytes) -> pa.Table:
    """One object a line; an unknown field fails. https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json"""
    rows, errors, position = [], [], 0
    for line in data.splitlines(keepends=True):
        if line.strip():
            try:
                rows.append(_row(stored, line))
            except ValueError as error:
                what = f"JSON parsing error in row starting at position {position}: {error}"
                errors.append({"reason": "invalid", "message": f"Error while reading data, error message: {what}"})
        position += len(line)
    if errors:
        raise JobError(
            "invalid",
            "Error while reading data, error message: JSON table encountered too many errors, giving up. "
            f"Rows: {len(rows) + len(errors)}; errors: {len(errors)}. Please look into the errors[] collection for "
            "more details.",
            errors,
        )
    return pa.Table.from_pylist(rows, stored.schema)


def _row(stored: Stored, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"Parser terminated before end of string: {error}") from error
    if not isinstance(row, dict):
        raise ValueError("Start of object expected")
    fields = {field["name"]: field for field in stored.fields}
    unknown = sorted(row.keys() - fields.keys())
    if unknown:
        raise ValueError(f"No such field: {unknown[0]}.")
    parsed = {}
    for name, field in fields.items():
        value = row.get(name)
        if value is None and field["mode"] == "REQUIRED":
            raise ValueError(f"Only optional fields can be set to NULL. Field: {name}; Value: NULL")
        try:
            parsed[name] = None if value is None else parse(field["type"], value)
        except ValueError as error:
            raise ValueError(f"{error}; Field: {name}") from error
    return parsed


def _parquet(stored: Stored, data: bytes) -> pa.Table:
    """https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions"""
    try:
        rows = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise JobError("invalid", f"Error while reading data, error message: {error}") from error
    columns = []
    for field in stored.fields:
        name = field["name"]
        if name not in rows.schema.names:
            raise JobError("invalid", f"Provided Schema does not match Table {stored.name}. Field {name} is missing")
        given = rows.schema.field(name)
        if not _converts(given.type, field["type"]):
            raise JobError("invalid", f"Parquet column '{name}' has type {given.type}, which is not {field['type']}")
        if field["mode"] == "REQUIRED" and given.nullable:
            raise JobError(
                "invalid",
                f"Provided Schema does not match Table {stored.name}. Field {name} has changed mode from REQUIRED to "
                "NULLABLE",
            )
        columns.append(rows.column(name).cast(ARROW[field["type"]]))
    unknown = [name for name in rows.schema.names if name not in stored.schema.names]
    if unknown:
        raise JobError(
            "invalid", f"Provided Schema does not match Table {stored.name}. Cannot add fields: {unknown[0]}"
        )
    return pa.table(columns, schema=stored.schema)


def _converts(given: pa.DataType, kind: str) -> bool:
    if kind == "NUMERIC":
        return bool(pa.types.is_decimal(given) and given.scale <= 9 and given.precision - given.scale <= 29)
    if kind == "TIMESTAMP":
        return bool(pa.types.is_timestamp(given) and given.tz is not None and given.unit in ("ms", "us"))
    return bool(given == ARROW[kind])


_READERS = {"NEWLINE_DELIMITED_JSON": _ndjson, "PARQUET": _parquet}
