"""Reads the messages of a stream by its schema, strictly, and writes the line of the warehouse for each.

A reader takes a message of an older or a newer schema: fields that it does not know it leaves out, and one that is
missing is null. What a type cannot hold makes the message a dead letter, with the column and the remedy.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec

from engagement_platform.domain.columns import Base, Column, Schema, Type
from engagement_platform.domain.nesting import decoded
from engagement_platform.domain.windows import attribute_of

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a BIGINT of the source, an INT64 of the warehouse can hold."""

_NULL = msgspec.Raw(b"null")
_MOMENT = Annotated[datetime, msgspec.Meta(tz=True)]
_FIELDS: dict[Base, Any] = {
    Base.INTEGER: Integer | None,
    Base.NUMERIC: Decimal | None,
    Base.FLOAT: msgspec.Raw,  # as text: a float would lose the sign of zero
    Base.BOOLEAN: bool | None,
    Base.TEXT: str | None,
    Base.CHAR: str | None,
    Base.UUID: UUID | None,
    Base.DATE: date | None,
    Base.TIMESTAMP: _MOMENT | None,
    Base.JSON: msgspec.Raw,
    Base.JSONB: msgspec.Raw,
    Base.BYTES: str | None,
    Base.ARRAY: msgspec.Raw,
}
_OTHER_TEXTS = frozenset({Base.TIMESTAMP, Base.ARRAY, Base.JSON, Base.JSONB})
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_BYTES = "\\x"


class Unfit(ValueError):
    """A value that its column cannot hold; the text is for people."""


class IdReader:
    """Reads the id of a stream's messages, whatever else they hold."""

    def __init__(self, name: str) -> None:
        """`name` is the column of the id."""
        only_id = msgspec.defstruct("OnlyId", [("id", int)], rename={"id": name})
        self._decode = msgspec.json.Decoder(only_id).decode
        self._first = re.compile(rb'\s*\{\s*"%s"\s*:\s*(-?\d{1,19})\s*[,}]' % name.encode())

    def id_of(self, value: bytes) -> int | None:
        """Return the id of a message that need not be an event; None where it has none.

        Where the id is the first column, that of a message which cannot be read to its end is known, too.
        """
        try:
            record: Any = decoded(self._decode, value)[0]
            return int(record.id)
        except (msgspec.MsgspecError, ValueError):
            begin = self._first.match(value)
            return int(begin[1]) if begin else None


class Reader:
    """Reads the messages of one schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._attributes = {column.name: attribute_of(column.name) for column in schema.columns}
        record = msgspec.defstruct(
            "Record",
            [_field(schema, column, self._attributes[column.name]) for column in schema.columns],
            rename={attribute: name for name, attribute in self._attributes.items() if attribute != name} or None,
            kw_only=True,
        )
        self._decode = msgspec.json.Decoder(record).decode
        self._conversions = [
            (self._attributes[column.name], conversion)
            for column in schema.columns
            if (conversion := _conversion(column)) is not None
        ]
        self._raw = {column.name for column in schema.columns if column.type.is_json or column.type.base is Base.FLOAT}
        self.id_of = IdReader(schema.id).id_of
        self._id, self._time = self._attributes[schema.id], self._attributes[schema.time]
        self._key = self._attributes[schema.key]
        self.writes_keys = schema.column(schema.key).type.base not in _OTHER_TEXTS
        """Whether a message tells its key. Some types have another text there than they have as a key."""
        self._encode = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical").encode

    def decode(self, value: bytes) -> Any:
        """Read and validate one message, however deep its JSON is nested; the record has an attribute a column.

        JSON, arrays and floats are `msgspec.Raw`. Raises msgspec.ValidationError or msgspec.DecodeError, and
        UnicodeDecodeError.
        """
        record, aside = decoded(self._decode, value)
        if aside:
            for name in aside.keys() & self._raw:
                setattr(record, self._attributes[name], msgspec.Raw(aside[name]))
        return record

    def id_and_time(self, record: Any) -> tuple[int, datetime]:
        """Return which event a record is, and when it happened."""
        return getattr(record, self._id), getattr(record, self._time)

    def key_of(self, record: Any) -> Any | None:
        """Return the value whose events stay in order; None where it is null."""
        key = getattr(record, self._key)
        if isinstance(key, msgspec.Raw):
            return None if bytes(key) == b"null" else bytes(key)
        return key

    def message_key(self, value: bytes) -> bytes | None:
        """Return the key of a message that this reader can read, as the relay makes it; None where it is null."""
        raw = bytes(decoded(_raw, value)[0].get(self.schema.key, _NULL))
        if raw == b"null":
            return None
        return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw

    def encode_line(self, record: Any) -> bytes:
        """Return a record as a line of NDJSON, without the line's end, and use it up. Raises Unfit.

        JSON is a string that holds it, and so is a float, which may be NaN; bytes are base64.
        """
        for attribute, converted in self._conversions:
            value = getattr(record, attribute)
            if value is not None:
                setattr(record, attribute, converted(value))
        return self._encode(record)


def _field(schema: Schema, column: Column, attribute: str) -> Any:
    if column.name == schema.id:
        return attribute, int
    if column.name == schema.time:
        return attribute, datetime
    of = _FIELDS[column.type.base]
    return attribute, of, _NULL if of is msgspec.Raw else None


def _conversion(column: Column) -> Callable[[Any], Any] | None:
    """Return what makes the value of a line from that of a message, where these are not the same."""
    match column.type.base:
        case Base.NUMERIC:
            return _numeric(column.name, column.type)
        case Base.FLOAT:
            return lambda raw: _float(column.name, raw)
        case Base.JSON | Base.JSONB | Base.ARRAY:
            return _json
        case Base.BYTES:
            return lambda text: _bytes(column.name, text)
        case _:
            return None


def _json(raw: msgspec.Raw) -> str | None:
    """JSON's null and SQL's NULL are the same in a message, so they are in the warehouse."""
    text = bytes(raw)
    return None if text == b"null" else text.decode()


def _float(name: str, raw: msgspec.Raw) -> str | None:
    text = bytes(raw).decode()
    if text == "null":
        return None
    if text.startswith('"') and text[1:-1] in _NOT_FINITE:
        return text[1:-1]
    try:
        number = float(text)
    except ValueError:
        number = float("inf")
    if number in (float("inf"), float("-inf")):
        raise Unfit(f"{name} is no float: {text[:40]}")
    return text


def _bytes(name: str, text: str) -> bytes:
    try:
        if not text.startswith(_BYTES):
            raise ValueError
        return bytes.fromhex(text[len(_BYTES) :])
    except ValueError:
        raise Unfit(f"{name} is no bytes as PostgreSQL writes them (\\x…): {text[:40]}") from None


def _numeric(name: str, of: Type) -> Callable[[Decimal], Decimal]:
    scale, before = of.scale, of.precision - of.scale
    usual = Decimal(1)
    """The last number that fitted as it was: most have as many digits behind the point as the one before."""

    def fitting(number: Decimal) -> Decimal:
        nonlocal usual
        if number.same_quantum(usual) and number.adjusted() < before:
            return number
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -scale <= exponent <= 0 and number.adjusted() < before:
            usual = number
            return number
        fitted = _fitted(number, scale, before)
        if fitted is None:
            raise Unfit(
                f"{name} has more digits than NUMERIC({of.precision}, {scale}): {str(number)[:60]}; "
                "cast it in enriched.sql, as numeric with a scale or as text"
            )
        return fitted

    return fitting


def _fitted(number: Decimal, scale: int, before: int) -> Decimal | None:
    """Return a number that has zeros at its end as it fits; None where it does not, or is NaN or infinite."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or exponent > 0:
        return None
    kept = len(digits) - max(-scale - exponent, 0)
    if any(digits[max(kept, 0) :]) or number.adjusted() >= before:
        return None
    return Decimal((sign, digits[: max(kept, 0)] or (0,), max(exponent, -scale)))
