"""BigQuery's SQL, checked to be one query that only reads, and translated for DuckDB.

What differs between the two and is set right here: tables are known by the last part of their name, NUMERIC has nine
digits after the point, EXTRACT's parts, DATE arithmetic stays a DATE. What stays different: AVG of NUMERIC and the
division of NUMERIC give FLOAT64 (BigQuery: NUMERIC), and a division by zero gives NULL or infinity (BigQuery: an
error). So a mart that needs an exact quotient must not store it as NUMERIC.
"""

import logging
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engagement_platform.adapters.warehouse.port import QueryFailed, one_line

# It would print what it cannot parse; that becomes an error here.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_EXTRACTED = {"ISOWEEK": "WEEK", "DAYOFWEEK": "DOW", "DAYOFYEAR": "DOY"}
_KNOWN_PARTS = {"MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "QUARTER", "YEAR", "ISOYEAR"}


@dataclass(frozen=True, slots=True)
class Translated:
    """A query for DuckDB."""

    sql: str
    tables: frozenset[str]
    parameters: frozenset[str]


def translate(sql: str) -> Translated:
    """Return the query in DuckDB's dialect. Raises QueryFailed when it is no single query, or cannot be read."""
    try:
        statements = [one for one in sqlglot.parse(sql, read="bigquery") if one is not None]
    except SqlglotError as error:
        raise QueryFailed(f"The query cannot be read: {_one_line(error)}.", "It is BigQuery's dialect.") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryFailed("Only one SELECT is answered, nothing that changes something.", "Write a single SELECT.")
    query = statements[0]
    tables = _bare_tables(query)
    _set_right(query)
    parameters = frozenset(parameter.name for parameter in query.find_all(exp.Parameter))
    try:
        return Translated(query.sql(dialect="duckdb"), tables, parameters)
    except SqlglotError as error:
        raise QueryFailed(f"The query cannot be translated: {_one_line(error)}.") from error


def _bare_tables(query: exp.Query) -> frozenset[str]:
    """Take the project and the dataset from the tables' names; return the names."""
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    names = set()
    for table in query.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise QueryFailed(f"{table.this.sql(dialect='bigquery')} is not a table.", "Functions give no tables here.")
        name = table.name.rsplit(".", maxsplit=1)[-1]
        is_own = name in own and not table.db
        table.set("this", exp.to_identifier(name, quoted=True))
        table.set("db", None)
        table.set("catalog", None)
        if not is_own:
            names.add(name)
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
    return frozenset(names)


def _set_right(query: exp.Query) -> None:
    """Replace what would mean something else, the innermost first."""
    for node in reversed(list(query.find_all(exp.DataType, exp.Extract, exp.DateAdd, exp.DateSub, exp.DateTrunc))):
        meant = _as_in_bigquery(node)
        if meant is not node:
            node.replace(meant)


def _as_in_bigquery(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.DECIMAL and not node.expressions:
        return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
    if isinstance(node, exp.Extract):
        return _extract(node)
    if isinstance(node, exp.DateAdd | exp.DateSub) or (isinstance(node, exp.DateTrunc) and _is_date(node.this)):
        return exp.cast(node.copy(), exp.DataType.Type.DATE)
    return node


def _is_date(node: exp.Expr) -> bool:
    return isinstance(node, exp.Date) or (isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.DATE)


def _extract(node: exp.Extract) -> exp.Expr:
    part = node.this.sql(dialect="bigquery").upper()
    if part == "DATE":
        return exp.cast(node.expression, exp.DataType.Type.DATE)
    if part in _EXTRACTED:
        extracted = exp.Extract(this=exp.var(_EXTRACTED[part]), expression=node.expression)
        return (
            exp.Paren(this=exp.Add(this=extracted, expression=exp.Literal.number(1)))
            if part == "DAYOFWEEK"
            else extracted
        )
    if part not in _KNOWN_PARTS:
        raise QueryFailed(f"EXTRACT({part} …) has another meaning in the local engine.", "Use ISOWEEK or DATE_TRUNC.")
    return node


def _one_line(error: Exception) -> str:
    return one_line(str(error).replace("\x1b[4m", "").replace("\x1b[0m", ""))
