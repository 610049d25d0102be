"""What a column of PostgreSQL becomes: one of the platform's types, or a refusal with the cast that mends it."""

from collections.abc import Mapping
from dataclasses import dataclass

from engagement_platform.domain.columns import NUMERIC_PRECISION, NUMERIC_SCALE, Base, Type

_HEADER = 4
"""What PostgreSQL adds to the modifier of a type that has a length."""
_NO_MODIFIER = -1
_SCALE_BITS = 11


@dataclass(frozen=True, slots=True)
class SourceType:
    """A type as PostgreSQL's catalog has it."""

    name: str
    """As SQL writes it, without modifier."""
    builtin: str
    """Its name in the catalog where it is PostgreSQL's own; else empty."""
    kind: str
    """The catalog's letter: b base, d domain, e enum, c composite, r range, m multirange, p pseudo."""
    category: str
    """The catalog's letter for the category: S is text."""
    base: int = 0
    """Of a domain: the type below it."""
    modifier: int = _NO_MODIFIER
    """Of a domain: that of the type below it."""
    element: int = 0
    """Of an array: the type of its elements."""


class Uncarried(Exception):
    """No sink could carry the column as it is: `why`, and the `cast` with which it can be carried."""

    def __init__(self, why: str, cast: str) -> None:
        self.why, self.cast = why, cast
        super().__init__(f"{why}; {cast}")


_BASES = {
    "int2": Base.INTEGER,
    "int4": Base.INTEGER,
    "int8": Base.INTEGER,
    "float4": Base.FLOAT,
    "float8": Base.FLOAT,
    "bool": Base.BOOLEAN,
    "bpchar": Base.CHAR,
    "uuid": Base.UUID,
    "date": Base.DATE,
    "timestamptz": Base.TIMESTAMP,
    "json": Base.JSON,
    "jsonb": Base.JSONB,
    "bytea": Base.BYTES,
}
_CASTS = {
    "timestamp": "{} AT TIME ZONE 'UTC' (or the zone that its values are in)",
    "interval": "extract(epoch FROM {})",
    "money": "{}::numeric(20,2)",
    "oid": "{}::bigint",
    "xid8": "{}::text::bigint",
}
_WHY = {
    "timestamp": "which has no zone, so that nobody knows which moment, or which day, it is",
    "money": "whose text depends on the session's language",
}
_OTHER = "which warehouses have no type for"


def type_of(oid: int, modifier: int, catalog: Mapping[int, SourceType], expression: str) -> Type:
    """Return the type of a column; `expression` stands for it in the cast that is offered. Raises Uncarried."""
    source = catalog[oid]
    if source.kind == "d":
        return type_of(source.base, source.modifier if modifier == _NO_MODIFIER else modifier, catalog, expression)
    if source.element:
        return Type(Base.ARRAY, element=_element_of(source.element, catalog, expression))
    if source.builtin == "numeric":
        return _numeric(modifier, expression)
    if source.builtin in _BASES:
        return Type(_BASES[source.builtin])
    if source.kind == "e" or (source.kind == "b" and source.category == "S" and source.builtin != "char"):
        return Type(Base.TEXT)
    if source.kind == "c" or source.builtin == "record":
        raise Uncarried(f"is {source.name}, a row of several columns", f"to_jsonb({expression})")
    why = _WHY.get(source.builtin, _OTHER)
    raise Uncarried(f"is {source.name}, {why}", _CASTS.get(source.builtin, "{}::text").format(expression))


def _element_of(element: int, catalog: Mapping[int, SourceType], expression: str) -> Type:
    """Return the type of an array's elements; they are carried as JSON, so a number in it may be of any size."""
    if catalog[element].builtin == "numeric":
        return Type(Base.NUMERIC, NUMERIC_PRECISION, NUMERIC_SCALE)
    try:
        return type_of(element, _NO_MODIFIER, catalog, expression)
    except Uncarried as refusal:
        raise Uncarried(f"is an array of what {refusal.why}", f"to_jsonb({expression})") from None


def _numeric(modifier: int, expression: str) -> Type:
    """Return the type of a numeric. Without a scale it is what the warehouse holds, and each value is checked.

    A scale may be negative, or above the precision: then all digits are before the point, or none.
    """
    if modifier == _NO_MODIFIER:
        return Type(Base.NUMERIC, NUMERIC_PRECISION, NUMERIC_SCALE)
    precision, scale = (modifier - _HEADER) >> 16, (modifier - _HEADER) & ((1 << _SCALE_BITS) - 1)
    if scale >= 1 << (_SCALE_BITS - 1):
        scale -= 1 << _SCALE_BITS
    before, after = max(precision - scale, 0), max(scale, 0)
    if after > NUMERIC_SCALE or before > NUMERIC_PRECISION - NUMERIC_SCALE:
        raise Uncarried(
            f"is numeric({precision},{scale}), more than the warehouse's NUMERIC holds "
            f"({NUMERIC_PRECISION - NUMERIC_SCALE} digits before the point, {NUMERIC_SCALE} after it)",
            f"{expression}::numeric({NUMERIC_PRECISION},{NUMERIC_SCALE})",
        )
    return Type(Base.NUMERIC, before + after, after)
