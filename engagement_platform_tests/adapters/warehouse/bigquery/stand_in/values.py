"""Values of a column: out of JSON, and into the cells of an answer."""

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

FORMER = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "DECIMAL": "NUMERIC"}
"""The API answers with the older names. https://cloud.google.com/bigquery/docs/reference/rest/v2/tables"""

ARROW = {
    "STRING": pa.string(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATE": pa.date32(),
    "DATETIME": pa.timestamp("us"),
    "BOOLEAN": pa.bool_(),
    "BYTES": pa.binary(),
}
DUCKDB = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "NUMERIC": "DECIMAL(38, 9)",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "BOOLEAN": "BOOLEAN",
    "BYTES": "BLOB",
}

_EXACT = (1 << 53) - 1
_TIMESTAMP = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}[ T]\d{1,2}:\d{2}:\d{2}(\.\d{1,6})?( ?UTC|Z|[+-]\d{1,2}:\d{2})?", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(kind: str, value: Any) -> Any:
    """Return a value of a line of NDJSON as its column holds it. Raises ValueError with BigQuery's words.

    Formats: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json
    """
    if isinstance(value, dict | list):
        raise ValueError(f"This field: is not a record. Value: {value!r:.50}")
    try:
        return _PARSERS[kind](value)
    except (ValueError, InvalidOperation, OverflowError, TypeError) as error:
        raise ValueError(f"Could not convert value to {kind.lower()}. Value: {value!r:.50}") from error


def _integer(value: Any) -> int:
    """A number beyond 2^53 has to be a string, 'to avoid data corruption': as a number it arrives as a float."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    number = int(value) if isinstance(value, str) or abs(value) <= _EXACT else int(float(value))
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError
    return number


def _numeric(value: Any) -> Decimal:
    """29 digits before the point and 9 behind it; a number, unlike a string, arrives as a float.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
    """
    if isinstance(value, bool):
        raise ValueError
    number = Decimal(value) if isinstance(value, str) else Decimal(repr(float(value)))
    if not number.is_finite() or number.adjusted() >= 29 or _digits_after_point(number) > 9:
        raise ValueError
    return number


def _digits_after_point(number: Decimal) -> int:
    exponent = number.normalize(Context(prec=80)).as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent


def _timestamp(value: Any) -> datetime:
    """From year 1 to 9999, to the microsecond, UTC where no zone is given.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#timestamp_type
    """
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise ValueError
    moment = datetime.fromisoformat(re.sub(r" ?(UTC|Z)$", "+00:00", value, flags=re.IGNORECASE))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _date(value: Any) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError
    return date.fromisoformat(value)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _bytes(value: Any) -> bytes:
    """'Columns with BYTES values must be encoded as Base64.'"""
    if not isinstance(value, str):
        raise ValueError
    return b64decode(value, validate=True)


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "STRING": _string,
    "INTEGER": _integer,
    "FLOAT": _float,
    "NUMERIC": _numeric,
    "TIMESTAMP": _timestamp,
    "DATE": _date,
    "BOOLEAN": _boolean,
    "BYTES": _bytes,
}


def parameter(kind: str, text: str | None) -> Any:
    """Return the value of a query's parameter."""
    if text is None:
        return None
    if kind == "DATETIME":
        return datetime.fromisoformat(text)
    return text == "true" if kind == "BOOL" else parse(FORMER.get(kind, kind), text)


def cell(kind: str, value: Any, whole_timestamps: bool) -> dict[str, str | None]:
    """Return a value as an answer's cell. https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults"""
    return {"v": None if value is None else _text(kind, value, whole_timestamps)}


def _text(kind: str, value: Any, whole_timestamps: bool) -> str:
    if kind == "TIMESTAMP":
        since = value - _EPOCH
        micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return str(micros) if whole_timestamps else repr(micros / 1_000_000)
    if kind == "BOOLEAN":
        return "true" if value else "false"
    if kind == "FLOAT":
        return repr(value) if math.isfinite(value) else _NOT_FINITE[repr(value)]
    if kind == "BYTES":
        return b64encode(value).decode()
    return value.isoformat() if kind in ("DATE", "DATETIME") else str(value)
