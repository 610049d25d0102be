"""The schemas that a stream's messages have had, each with its number, and what may be the next one.

In all of them a name has one type, and id, time and key are the same. So one list of columns reads every message: what
an older one lacks is null, and nobody has to know which schema a value was read by. What would break that is refused
before anything of it is published, with the difference by column and what mends it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from engagement_platform.domain.columns import Base, Column, Schema, Type, joined, parsed
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.statement_text import code_of

Numbered = Mapping[int, Schema]
"""Number -> schema."""


class KeptSchemas(msgspec.Struct, frozen=True):
    """The numbered schemas of a stream as its relay's checkpoint keeps them.

    The platform's database has them, too, and may be lost: the checkpoint is written in the transaction of the
    messages, so it has the schema of each number that a message of the topic can have. Each column stands in it once,
    and each schema is some numbers: about 30 bytes a column and 20 a schema. There is one for each deploy or change of
    the table that brings a column, and a table of PostgreSQL has 1,600 columns in its life at most.
    """

    columns: tuple[tuple[str, str], ...] = ()
    """Name and type of every column that one of them has."""
    numbered: tuple[tuple[int, ...], ...] = ()
    """For each schema its number, where id, time and key stand among the columns, and then the first and the last of
    each run of columns that it has, in its order.
    """


NOTHING_KEPT = KeptSchemas()
"""What a checkpoint of an older version has."""


def keep(numbered: Numbered) -> KeptSchemas:
    """Return schemas as the checkpoint keeps them: the same ones in the same form, whatever their order here."""
    columns: dict[Column, int] = {}
    rows = []
    for number in sorted(numbered):
        schema = numbered[number]
        at = [columns.setdefault(column, len(columns)) for column in schema.columns]
        of = dict(zip(schema.names, at, strict=True))
        rows.append((number, of[schema.id], of[schema.time], of[schema.key], *_runs(at)))
    return KeptSchemas(tuple((column.name, str(column.type)) for column in columns), tuple(rows))


def kept(schemas: KeptSchemas) -> dict[int, Schema]:
    """Return the schemas that `keep` was given. Raises ValueError when it was not `keep` of this version that wrote."""
    columns = [Column(name, parsed(of)) for name, of in schemas.columns]
    try:
        return {number: _schema(columns, roles, runs) for number, *roles, runs in map(_parts, schemas.numbered)}
    except IndexError:
        raise ValueError("a schema has columns that are not there") from None


def _parts(row: Sequence[int]) -> tuple[int, int, int, int, Sequence[int]]:
    number, id_, time, key, *runs = row
    return number, id_, time, key, runs


def _schema(columns: Sequence[Column], roles: Sequence[int], runs: Sequence[int]) -> Schema:
    id_, time, key = (columns[at].name for at in roles)
    at = (at for first, last in zip(runs[::2], runs[1::2], strict=True) for at in range(first, last + 1))
    return Schema(tuple(columns[one] for one in at), id_, time, key)


def _runs(numbers: Sequence[int]) -> Iterator[int]:
    """Yield the first and the last of each run of numbers that follow one another."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield from (first, last)
            first = number
        last = number
    yield from (first, last)


@dataclass(frozen=True, slots=True)
class SchemaHistory:
    """Number -> schema, from 1 on; a number that was lost may be missing."""

    numbered: Mapping[int, Schema]

    @property
    def highest(self) -> int:
        """The highest number; 0 before the first."""
        return max(self.numbered, default=0)

    def number_of(self, schema: Schema) -> int | None:
        """Return the number of a schema; None where it is a new one."""
        return next((number for number, one in self.numbered.items() if one == schema), None)

    def number_with(self, names: tuple[str, ...]) -> int | None:
        """Return the highest number whose messages have these columns, in this order; None where there is none."""
        return max((number for number, one in self.numbered.items() if one.names == names), default=None)

    def with_hash(self, hash_: str) -> Schema:
        """Return the schema with a hash, or where it is not known the one with the highest number."""
        known = (one for one in self.numbered.values() if one.hash == hash_)
        return next(known, None) or self.numbered[self.highest]

    @property
    def whole(self) -> Schema:
        """Return every column that a message of the stream may have, in the order in which they came."""
        return joined([self.numbered[number] for number in sorted(self.numbered)])


@dataclass(frozen=True, slots=True)
class Change:
    """What a schema is to those before it. Nothing at all where it is one of them."""

    added: tuple[str, ...] = ()
    """Columns that no schema before it has."""
    gone: tuple[str, ...] = ()
    """Columns of the one in use that it has not."""
    refusals: tuple["Refusal", ...] = ()
    """Why it cannot be the next one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One difference that readers could not follow, and what mends it."""

    what: str
    todo: str


def change(history: SchemaHistory, new: Schema, *, takes_all: bool, in_use: str = "") -> Change:
    """Compare a schema with all before it.

    `in_use`: the hash of the schema that messages have now, of which the new one takes the place; where it is not
    known, the one with the highest number is taken for that. `takes_all`: the statement takes columns by `*`, so that
    their names are those of the source. Then a column that has gone and one of its type that has come are taken for one
    that was renamed there: its values must not become null under a name that readers know.
    """
    if not history.numbered or history.number_of(new) is not None:
        return Change()
    latest, whole = history.with_hash(in_use), history.whole
    added = tuple(column for column in new.columns if column.name not in whole.names)
    gone = tuple(column for column in latest.columns if column.name not in new.names)
    refusals = [*_other_roles(latest, new), *_other_types(history, new), *_other_case(whole, added)]
    if takes_all:
        come = tuple(column for column in new.columns if column.name not in latest.names)
        refusals += _renamed(gone, come)
    return Change(tuple(_str(column) for column in added), tuple(column.name for column in gone), tuple(refusals))


def _str(column: Column) -> str:
    return f"{column.name} ({column.type})"


def _other_roles(latest: Schema, new: Schema) -> Iterator[Refusal]:
    for role, was, now in (("id", latest.id, new.id), ("time", latest.time, new.time), ("key", latest.key, new.key)):
        if was != now:
            yield Refusal(
                f"the {role} was the column {was}, and is {now}",
                f"name {was} in stream.toml again: a stream keeps its {role}, and another one is another stream, in a"
                " folder with another name",
            )


def _other_types(history: SchemaHistory, new: Schema) -> Iterator[Refusal]:
    was = {column.name: (number, column.type) for number, one in history.numbered.items() for column in one.columns}
    for column in new.columns:
        number, before = was.get(column.name, (0, column.type))
        if before != column.type:
            yield Refusal(
                f"{column.name} was {before} (schema {number}), and is {column.type}",
                f"give it the type of before, with {column.name}::{cast_of(before)} AS {column.name} in enriched.sql,"
                f" or another name, such as AS {column.name}_2",
            )


def _other_case(whole: Schema, added: tuple[Column, ...]) -> Iterator[Refusal]:
    names = {name.lower(): name for name in whole.names}
    for column in added:
        if before := names.get(column.name.lower()):
            yield Refusal(
                f"{column.name} differs from the column {before} of before only in capitals, which warehouses do not"
                " tell apart",
                f"write AS {before} in enriched.sql, or give it another name",
            )


def _renamed(gone: tuple[Column, ...], come: tuple[Column, ...]) -> Iterator[Refusal]:
    for column in gone:
        candidates = [one.name for one in come if one.type == column.type]
        if candidates:
            yield Refusal(
                f"{column.name} ({column.type}) is gone, and {' and '.join(candidates)} of the same type has come: it"
                " was renamed at the source, it seems",
                f"list the columns in enriched.sql in place of *, with {candidates[0]} AS {column.name} where it is the"
                " same thing, or without it where it is not",
            )


_ALL = re.compile(r"(?:\bSELECT|\bALL|\bDISTINCT(?:\s+ON\s*\([^()]*\))?|,|\.)\s*\*|\bTABLE\s", re.IGNORECASE)


def takes_all(stream: EventStream) -> bool:
    """Say whether the names of columns may be the source's: whether the statement has a `*` in place of them."""
    return _ALL.search(code_of(stream.enriched)) is not None


_CASTS = {
    Base.INTEGER: "bigint",
    Base.FLOAT: "float8",
    Base.BOOLEAN: "boolean",
    Base.TEXT: "text",
    Base.CHAR: "bpchar",
    Base.UUID: "uuid",
    Base.DATE: "date",
    Base.TIMESTAMP: "timestamptz",
    Base.JSON: "json",
    Base.JSONB: "jsonb",
    Base.BYTES: "bytea",
}


def cast_of(of: Type) -> str:
    """Return the type of PostgreSQL that becomes this one."""
    if of.base is Base.NUMERIC:
        return f"numeric({of.precision},{of.scale})"
    return f"{cast_of(of.element)}[]" if of.element else _CASTS[of.base]
