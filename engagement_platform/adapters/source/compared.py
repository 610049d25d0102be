"""What a day is compared by, as PostgreSQL computes it, and how that is told of two rows that they are the same.

The digest of a row is made of texts that PostgreSQL, BigQuery and DuckDB write alike: `domain.reconciliation` says of
which columns. The warehouse's half of the same digest is in `history.table`.
"""

from typing import Any

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.selected import fitting, value_of
from engagement_platform.adapters.sql import identifier
from engagement_platform.domain.columns import Base, Column
from engagement_platform.domain.reconciliation import Comparison

_SQL = sql.load(__package__, "compared.sql")
_TEXTS = {
    Base.INTEGER: "{0}::bigint::text",
    Base.BOOLEAN: "{0}::text",
    Base.UUID: "{0}::text",
    Base.DATE: "{0}::text",
    Base.TIMESTAMP: "trunc(extract(epoch FROM {0}) * 1000000)::text",
}
"""Short texts without a comma. Of any other type the text has a digest of its own."""


def own_columns(origin: Origin, connection: "psycopg.Connection[Any]") -> frozenset[str]:
    """Return the columns of `enriched.sql` that PostgreSQL says are those of the stream's own table, unchanged.

    The statement is planned, and no row is read. An expression is of no table.
    """
    relation = connection.execute(origin.plain(_SQL["own_table"]).encode()).fetchone()
    answer = connection.execute(origin.plain(_SQL["nothing"]).encode()).pgresult
    assert relation is not None, "it returns one row, or fails"  # noqa: S101
    assert answer is not None, "a SELECT has one"  # noqa: S101
    numbers = [number for number in range(answer.nfields) if answer.ftable(number) == relation[0]]
    return frozenset((answer.fname(number) or b"").decode() for number in numbers)


def figures(comparison: Comparison) -> str:
    """Return the SELECT list beside the id, of a row that is called `event`: measures, digest, plain values."""
    parts = [f"event.{identifier(c.name)}::bigint AS m{n}" for n, c in enumerate(comparison.measures)]
    parts.append(f"{_digest(comparison)} AS digest")
    parts += [f"{fitting(column)} AS p{n}" for n, column in enumerate(comparison.plain)]
    return ",\n       ".join(parts)


def _digest(comparison: Comparison) -> str:
    if not comparison.hashed:
        return "''"
    texts = ", ".join(f"coalesce({_text(column)}, '-'), ','" for column in comparison.hashed)
    return f"left({_sha256(f'concat({texts})')}, 16)"


def _text(column: Column) -> str:
    if column.type.base in _TEXTS:
        return _TEXTS[column.type.base].replace("{0}", f"event.{identifier(column.name)}")
    value = value_of(column)
    return f"encode(sha256({value}), 'hex')" if column.type.base is Base.BYTES else _sha256(value)


def _sha256(text: str) -> str:
    return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"
