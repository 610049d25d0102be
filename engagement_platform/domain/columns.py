"""The columns of a stream: a name and a type for each, in order.

PostgreSQL's own description of `enriched.sql` gives them; message, JSON Schema, warehouse and rebuild are functions of
them. What each type becomes is in docs/types.md.

A type here is what readers can tell apart, not what the source stores: whole numbers of any width are one, and so are
texts, so that a column may be widened at the source without another form of the messages.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Base(StrEnum):
    """What a type is, without its parameters."""

    INTEGER = "integer"
    """int2, int4, int8: 64 bits."""
    NUMERIC = "numeric"
    """Decimal, with its precision and scale."""
    FLOAT = "float"
    """float4 and float8, with NaN and both infinities."""
    BOOLEAN = "boolean"
    TEXT = "text"
    """text, varchar, name, citext and enums."""
    CHAR = "char"
    """char(n): its blanks at the end stay."""
    UUID = "uuid"
    DATE = "date"
    TIMESTAMP = "timestamp"
    """timestamptz: a moment, to the microsecond."""
    JSON = "json"
    """Kept as it was written."""
    JSONB = "jsonb"
    BYTES = "bytes"
    """bytea."""
    ARRAY = "array"
    """Of any of the others; carried as JSON."""


NUMERIC_PRECISION, NUMERIC_SCALE = 38, 9
"""What the warehouses' NUMERIC holds: so many digits, so many of them after the point."""


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a column."""

    base: Base
    precision: int = 0
    """Of NUMERIC: digits in all."""
    scale: int = 0
    """Of NUMERIC: digits after the point."""
    element: "Type | None" = None
    """Of ARRAY."""

    def __str__(self) -> str:
        """Say it as `parsed` reads it."""
        if self.base is Base.NUMERIC:
            return f"numeric({self.precision},{self.scale})"
        return f"array of {self.element}" if self.element else str(self.base)

    @property
    def is_json(self) -> bool:
        """Whether its values are JSON of any form, which the warehouse holds as text."""
        return self.base in (Base.JSON, Base.JSONB, Base.ARRAY)


_NUMERIC = re.compile(r"numeric\((\d{1,2}),(\d{1,2})\)")
_ARRAY_OF = "array of "


def parsed(text: str) -> Type:
    """Return the type that `str` said. Raises ValueError."""
    if text.startswith(_ARRAY_OF):
        return Type(Base.ARRAY, element=parsed(text.removeprefix(_ARRAY_OF)))
    numeric = _NUMERIC.fullmatch(text)
    if numeric:
        return Type(Base.NUMERIC, int(numeric[1]), int(numeric[2]))
    if text in (Base.NUMERIC, Base.ARRAY):
        raise ValueError(f"{text} is not a valid type without what belongs to it")
    return Type(Base(text))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the messages."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a stream's messages, in order.

    Id and time are in every row and never null. Any other column may be null: PostgreSQL does not describe that for a
    statement, an outer join makes nulls, and an owner may drop NOT NULL at any time.
    """

    columns: tuple[Column, ...]
    id: str
    time: str
    key: str

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def is_required(self, column: Column) -> bool:
        """Say whether a column is never null."""
        return column.name in (self.id, self.time)

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    @property
    def hash(self) -> str:
        """What tells this schema from any other: 16 hexadecimal digits over order, names, types, id, time and key."""
        return hashlib.sha256(encoded(self).encode()).hexdigest()[:16]


def joined(schemas: Sequence[Schema]) -> Schema:
    """Return every column that these forms of one stream have, in the order in which they came."""
    columns = {column.name: column for schema in schemas for column in schema.columns}
    return replace(schemas[-1], columns=tuple(columns.values()))


def encoded(schema: Schema) -> str:
    """Return a schema as JSON, one text for one schema."""
    columns = [[column.name, str(column.type)] for column in schema.columns]
    return json.dumps({"columns": columns, "id": schema.id, "time": schema.time, "key": schema.key})


def decoded(text: str) -> Schema:
    """Return the schema that `encoded` wrote. Raises ValueError or KeyError."""
    kept = json.loads(text)
    columns = tuple(Column(name, parsed(of)) for name, of in kept["columns"])
    return Schema(columns, kept["id"], kept["time"], kept["key"])


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_OF_DELTA = "event_date"
"""The column by which a Delta table is partitioned, which the platform derives."""


def reserved_by_warehouse(name: str) -> bool:
    """Say whether warehouses take no column of that name, or use it themselves."""
    return not _NAME.fullmatch(name) or name.lower() == _OF_DELTA


def faults_of(schema: Schema) -> list[str]:
    """Return what keeps columns from being a stream's, each with its remedy in `enriched.sql`; mostly nothing."""
    names = [column.name.lower() for column in schema.columns]
    doubled = dict.fromkeys(name for name in schema.names if names.count(name.lower()) > 1)
    faults = [
        f"it has the column {name} more than once, as warehouses read names: give one another name with AS"
        for name in doubled
    ]
    faults += [
        f"its column {name} has a name that warehouses do not take (letters, digits and _, beginning with a letter): "
        "give it another one with AS"
        for name in schema.names
        if not _NAME.fullmatch(name)
    ]
    faults += [
        f"its column {name} has a name that the warehouse uses itself: give it another one with AS"
        for name in schema.names
        if name.lower() == _OF_DELTA
    ]
    return faults + list(_missing(schema))


def _missing(schema: Schema) -> Iterable[str]:
    types: Mapping[str, Type] = {column.name: column.type for column in schema.columns}
    for name, role, base in ((schema.id, "id", Base.INTEGER), (schema.time, "time", Base.TIMESTAMP)):
        if name not in types:
            yield f"it has no column {name}, the {role} of the source's table: select it under that name"
        elif types[name].base is not base:
            needed = "bigint" if base is Base.INTEGER else "timestamptz"
            yield f"its column {name}, the {role}, is {types[name]}: it must be {needed}, as the source's table has it"
    if schema.key not in types:
        yield f"it has no column {schema.key}, the message's key: select it, or name another one in stream.toml"
