"""Tells which columns of which tables a query makes each of its columns from, by reading its SQL.

It needs sqlglot, which takes a third of a second and 40 MB: imported where it is asked, in runs that make tables.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.lineage import Node

Lineage = Mapping[str, tuple[tuple[str, str], ...]]
"""Column -> the table and column of each that it is made from, tables as the query writes them."""

POSTGRES, BIGQUERY = "postgres", "bigquery"


def lineage_of(sql: str, dialect: str, columns: Mapping[str, Iterable[str]]) -> Lineage:
    """Return what each column of a query is made from; nothing of a query that cannot be read.

    `columns` are those of the tables: table -> names. A column that is made of none, as a constant, has none.
    """
    from sqlglot import exp, lineage, parse_one  # noqa: PLC0415
    from sqlglot.errors import SqlglotError  # noqa: PLC0415
    from sqlglot.optimizer import qualify  # noqa: PLC0415
    from sqlglot.optimizer.scope import build_scope  # noqa: PLC0415
    from sqlglot.schema import MappingSchema  # noqa: PLC0415

    known: dict[str, object] = {
        exp.to_table(table, dialect=dialect).name: dict.fromkeys(names, "date") or {"?": "date"}
        for table, names in columns.items()  # whichever type: of a table it is there or not
    }
    try:
        schema = MappingSchema(known, dialect=dialect)
        query = parse_one(sql, dialect=dialect)
        for table in query.find_all(exp.Table):  # a schema of one level is enough: names are told by their table
            table.set("db", None)
            table.set("catalog", None)
        query = qualify.qualify(query, dialect=dialect, schema=schema, validate_qualify_columns=False)
        scope = build_scope(query)
        if not isinstance(query, exp.Query) or scope is None:
            return {}
        roots = {
            name: lineage.lineage(name, query, schema=schema, dialect=dialect, scope=scope, trim_selects=False)
            for name in query.named_selects
            if name != "*"
        }
    except SqlglotError:
        return {}
    return {name: tuple(sorted(set(_leaves(root)))) for name, root in roots.items()}


def _leaves(root: "Node") -> Iterator[tuple[str, str]]:
    """Yield the table and column of each leaf."""
    from sqlglot import exp  # noqa: PLC0415

    for leaf in root.walk():
        if isinstance(leaf.expression, exp.Table):
            yield leaf.expression.name, leaf.name.rpartition(".")[2].strip('"`')
