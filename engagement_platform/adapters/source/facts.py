"""Reads what the source's catalogs say of a table. Of the rows themselves only a bounded part is counted."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engagement_platform.adapters import bounded, sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import catalog_of
from engagement_platform.adapters.sql import filled
from engagement_platform.domain.columns import Base, Type
from engagement_platform.domain.drafts.values import ColumnFacts, ForeignKey, SourceFacts, TableFacts
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.source_types import SourceType, Uncarried, type_of

_SQL = sql.load(__package__, "facts.sql")
_COUNTED = {Base.TEXT, Base.CHAR, Base.BOOLEAN, Base.UUID, Base.INTEGER, Base.DATE}
"""Of which values are counted: nobody counts by others."""
_PARTITIONED = "p"
_TABLES = ("r", _PARTITIONED)
_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "c": "a composite type",
}
_OF_VIEW = (
    "Name the table in which the rows appear; what the view computes can stand in enriched.sql, which may join any "
    "tables and views."
)


def facts_of(dsn: str, name: str) -> SourceFacts:
    """Return the facts of a table; `name` is as SQL writes it.

    Raises EngagementError where it is no table whose rows can be events, and what `session.connect` raises.
    """
    connection = session.connect_for_lookups(dsn, "stream")
    with closing(connection), bounded.translated("The source", session.VARIABLE):
        return _Catalog(connection).source(name)


class _Catalog:
    """The catalogs of one session."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def source(self, name: str) -> SourceFacts:
        relation = self._relation(name)
        oid, names = relation["oid"], self._names(relation["oid"])
        table = self._table(relation)
        keys = tuple(
            ForeignKey(
                tuple(names[number] for number in row["columns"]),
                tuple(self._names(row["target"])[number] for number in row["leads_to"]),
                self._table(self._rows("relation", oid=row["target"], name=None)[0]),
            )
            for row in self._rows("foreign_keys", oid=oid)
        )
        (changed,) = self._rows("changed", oid=oid)
        return SourceFacts(
            table,
            tuple(names[row["number"]] for row in self._rows("numbered", oid=oid)),
            frozenset(names[row["number"]] for row in self._rows("leading", oid=oid)),
            keys,
            changed["updated"],
            changed["deleted"],
        )

    def _rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_SQL[statement].encode(), parameters).fetchall()

    def _relation(self, name: str) -> dict[str, Any]:
        """Return the relation of a name. Raises EngagementError where it is no table."""
        try:
            rows = self._rows("relation", oid=None, name=name)
        except (psycopg.errors.SyntaxError, psycopg.errors.InvalidName) as error:
            raise EngagementError(
                f"{name!r} is no name of a table.", 'Write it as SQL does: schema.table, or schema."Table".'
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise EngagementError(
                f"The role may not use the schema of {name}.",
                f"Ask the owner to run: GRANT USAGE ON SCHEMA {name.split('.', maxsplit=1)[0]} TO {self._role()}",
            ) from error
        if not rows:
            alike = [row["written"] for row in self._rows("alike", name=name.rsplit(".", maxsplit=1)[-1].strip('"'))]
            raise EngagementError(
                f"The source has no table {name} in sight.",
                f"There is {' and '.join(alike)}: name it so." if alike else "Write it as SQL does: schema.table.",
            )
        (relation,) = rows
        if relation["kind"] not in _TABLES:
            raise EngagementError(
                f"{name} is {_KINDS.get(relation['kind'], 'no table')}: nobody could tell when its rows appear.",
                _OF_VIEW,
            )
        if relation["persistence"] == "t":
            raise EngagementError(f"{name} is a temporary table, which no other session sees.", "Name a lasting one.")
        return relation

    def _role(self) -> str:
        row = self._connection.execute("SELECT quote_ident(current_user)").fetchone()
        return str(row[0]) if row else ""

    def _names(self, oid: int) -> Mapping[int, str]:
        return {row["number"]: row["name"] for row in self._rows("columns", oid=oid)}

    def _table(self, relation: Mapping[str, Any]) -> TableFacts:
        rows = self._rows("columns", oid=relation["oid"])
        names = {row["number"]: row["name"] for row in rows}
        catalog = catalog_of(self._connection, [row["type"] for row in rows])
        keys = self._rows("keys", oid=relation["oid"])
        table = TableFacts(
            written=relation["written"],
            name=relation["name"],
            comment=relation["comment"],
            readable=relation["usable"] and (relation["readable"] or any(row["readable"] for row in rows)),
            filtered=relation["filtered"],
            role=relation["role"],
            columns=tuple(_column(row, catalog) for row in rows),
            unique=tuple(tuple(names[number] for number in row["numbers"]) for row in keys if 0 not in row["numbers"]),
            closed_schema="" if relation["usable"] else relation["schema"],
        )
        return self._counted(table)

    def _counted(self, table: TableFacts) -> TableFacts:
        """Return the table with the number of values that columns have in a part of its rows, the newest by its key."""
        counted = [
            column
            for column in table.columns
            if column.readable and column.type is not None and (column.type.base in _COUNTED)
        ]
        if not counted or not table.readable or table.filtered:
            return table
        key = next((key[0] for key in table.unique if len(key) == 1), None)
        written = {column.name: column.written for column in table.columns}
        statement = filled(
            _SQL["sample"],
            {
                "counts": "".join(f", count(DISTINCT {column.written})" for column in counted),
                "columns": ", ".join(column.written for column in counted),
                "table": table.written,
                "order": f" ORDER BY {written[key]} DESC" if key and key in {column.name for column in counted} else "",
            },
        )
        try:
            row = self._connection.execute(statement.encode()).fetchone()
        except psycopg.errors.QueryCanceled:
            return table  # it would take too long
        assert row is not None, "an aggregate always returns one row"  # noqa: S101
        values = dict(zip((column.name for column in counted), row[1:], strict=True))
        columns = tuple(replace(column, values=values.get(column.name)) for column in table.columns)
        return replace(table, columns=columns, rows=row[0])


def _column(row: Mapping[str, Any], catalog: Mapping[int, SourceType]) -> ColumnFacts:
    of: Type | None = None
    cast = why = ""
    try:
        of = type_of(row["type"], row["modifier"], catalog, "{}")
    except Uncarried as refusal:
        cast, why = refusal.cast, refusal.why
    return ColumnFacts(
        name=row["name"],
        written=row["written"],
        type_name=row["type_name"],
        not_null=row["not_null"],
        default=row["default"],
        comment=" ".join(row["comment"].split()),
        readable=row["readable"],
        type=of,
        cast=cast,
        why=why,
        is_enum=row["kind"] == "e",
    )
