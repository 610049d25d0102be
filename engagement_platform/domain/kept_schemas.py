"""The numbered schemas of a stream as its relay's checkpoint keeps them.

The platform's database has them, too, and may be lost: the checkpoint is written in the transaction of the messages, so
it has the schema of each number that a message of the topic can have. Each column stands in it once, and each schema is
some numbers: about 30 bytes a column and 20 a schema. How many there can be is bounded by who makes them: one for each
deploy or change of the table that brings a column, and a table of PostgreSQL has 1,600 columns in its life at most.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engagement_platform.domain.columns import Column, Schema, parsed

Numbered = Mapping[int, Schema]
"""Number -> schema."""


class KeptSchemas(msgspec.Struct, frozen=True):
    """Numbered schemas, as JSON takes them."""

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
