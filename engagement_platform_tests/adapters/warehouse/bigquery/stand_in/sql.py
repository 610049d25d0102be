"""Runs statements in BigQuery's dialect by DuckDB. What is known to differ stands in the translator's docstring."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engagement_platform.adapters.warehouse.delta import dialect
from engagement_platform.adapters.warehouse.port import QueryFailed
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.errors import ApiError
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.tables import Stored, Tables
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.values import ARROW, DUCKDB

_KINDS: dict[type[exp.Expr], str] = {
    exp.Query: "SELECT",
    exp.Delete: "DELETE",
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Merge: "MERGE",
    exp.TruncateTable: "TRUNCATE_TABLE",
    exp.Drop: "DROP_TABLE",
    exp.Create: "CREATE_TABLE",
}
_TYPES = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UBIGINT", "UINTEGER"), "INTEGER"),
    "DOUBLE": "FLOAT",
    "FLOAT": "FLOAT",
    "VARCHAR": "STRING",
    "BLOB": "BYTES",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "DATETIME",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    '"NULL"': "INTEGER",
}
_COMPARISONS = (exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
_PRUNING = (exp.Date, exp.TsOrDsToDate, exp.TimestampTrunc, exp.DateTrunc, exp.Cast, exp.Paren)


@dataclass
class Answer:
    """The rows of a SELECT and the types of its columns."""

    fields: list[dict[str, str]]
    rows: pa.Table


def parsed(sql: str) -> tuple[str, exp.Expr | None]:
    """Return the type of a statement, as a dry run says it, and the statement unless there are several.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobStatistics2 (statementType)
    """
    if not sql.strip():
        raise ApiError("required", "Required parameter is missing: query")
    try:
        statements = [one for one in sqlglot.parse(sql, read="bigquery") if one is not None]
    except SqlglotError as error:
        raise ApiError("invalidQuery", f"Syntax error: {error}") from error
    if len(statements) != 1:
        return "SCRIPT", None
    for kind, name in _KINDS.items():
        if isinstance(statements[0], kind):
            return name, statements[0]
    raise ApiError("invalidQuery", f"Syntax error: Unexpected statement: {sql[:40]}")


def select(tables: Tables, dataset: str, sql: str, parameters: dict[str, Any]) -> Answer:
    """Return the answer to a SELECT."""
    _, statement = parsed(sql)
    assert statement is not None
    _check_tables(tables, dataset, statement)
    if _as_of(tables, dataset, statement):
        sql = statement.sql(dialect="bigquery")
    try:
        query = dialect.translate(sql)
    except QueryFailed as error:
        raise ApiError("invalidQuery", str(error)) from error
    missing = sorted(query.parameters - parameters.keys())
    if missing:
        raise ApiError("invalidQuery", f"Query parameter '{missing[0]}' not found")
    given = {name: parameters[name] for name in query.parameters}
    try:
        tables.engine.execute(f"SET search_path = '{dataset}'")
        answer = tables.engine.sql(query.sql, params=given) if given else tables.engine.sql(query.sql)
        kinds = [_kind(str(kind)) for kind in answer.types]
        columns = zip(answer.columns, kinds, strict=True)
        typed = answer.project(", ".join(f'CAST("{name}" AS {DUCKDB[kind]}) AS "{name}"' for name, kind in columns))
        fields = [
            {"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in zip(answer.columns, kinds, strict=True)
        ]
        schema = pa.schema([pa.field(field["name"], ARROW[field["type"]]) for field in fields])
        return Answer(fields, typed.to_arrow_table().cast(schema))
    except duckdb.Error as error:
        raise ApiError("invalidQuery", str(error).split("\n\nLINE ")[0]) from error


def _as_of(tables: Tables, dataset: str, statement: exp.Expr) -> bool:
    """Let a statement read what its tables were where it says FOR SYSTEM_TIME AS OF; say whether it does."""
    asked = [table for table in statement.find_all(exp.Table) if table.args.get("version")]
    for table in asked:
        said = table.args["version"].find(exp.Literal)
        assert said is not None, "the stand-in takes a literal"
        rows = tables.as_of(tables.table(dataset, table.name), datetime.fromisoformat(said.this))
        table.set("version", None)
        if rows is not None:
            name = table.alias_or_name
            tables.engine.register(f"past {table.name}", rows)
            table.set("this", exp.to_identifier(f"past {table.name}", quoted=True))
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
    return bool(asked)


def _kind(duckdbs: str) -> str:
    return "NUMERIC" if duckdbs.startswith("DECIMAL") else _TYPES[duckdbs]


def change(tables: Tables, dataset: str, statement: exp.Expr) -> None:
    """Run a statement that changes rows or tables. It is here so that a client that should not send one is caught."""
    _check_tables(tables, dataset, statement)
    if isinstance(statement, exp.Drop):
        tables.delete_table(dataset, statement.this.name)
        return
    if isinstance(statement, exp.Create):
        raise ApiError("notImplemented", "The stand-in creates no tables by SQL")
    try:
        tables.engine.execute(f"SET search_path = '{dataset}'")
        tables.engine.execute(statement.sql(dialect="duckdb"))
    except duckdb.Error as error:
        raise ApiError("invalidQuery", str(error)) from error


def _check_tables(tables: Tables, dataset: str, statement: exp.Expr) -> None:
    own = {cte.alias for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if table.name in own and not table.db:
            continue
        if table.db not in ("", dataset) or table.catalog not in ("", tables.project):
            raise ApiError("notImplemented", "The stand-in answers queries over one dataset")
        stored = tables.table(dataset, table.name)
        if stored.resource.get("requirePartitionFilter") and not isinstance(
            statement, exp.Insert | exp.Drop | exp.TruncateTable
        ):
            _check_filter(stored, table)


def _check_filter(stored: Stored, table: exp.Table) -> None:
    """Refuse a query over a table that requires a filter on its partitions, and has none.

    The filter stands in the WHERE of the SELECT that names the table, compares the column with something constant, and
    is no alternative to another condition:
    https://cloud.google.com/bigquery/docs/querying-partitioned-tables#require_a_partition_filter_in_queries
    """
    scope = table.find_ancestor(exp.Select, exp.Delete, exp.Update)
    where = scope.args.get("where") if scope is not None else None
    column = stored.day_column or ""
    if where is None or not _prunes(where.this, column, table.alias_or_name):
        raise ApiError(
            "invalidQuery",
            f"Cannot query over table '{stored.name.replace(':', '.')}' without a filter over column(s) '{column}' "
            "that can be used for partition elimination",
        )


def _prunes(condition: exp.Expr, column: str, table: str) -> bool:
    if isinstance(condition, exp.And):
        return any(_prunes(side, column, table) for side in (condition.left, condition.right))
    if isinstance(condition, exp.Or):
        return all(_prunes(side, column, table) for side in (condition.left, condition.right))
    if isinstance(condition, exp.Paren):
        return _prunes(condition.this, column, table)
    if not isinstance(condition, _COMPARISONS):
        return False
    sides = list(condition.iter_expressions())
    filtered = [side for side in sides if _is_column(side, column, table)]
    return len(filtered) == 1 and all(side is filtered[0] or side.find(exp.Column) is None for side in sides)


def _is_column(side: exp.Expr, column: str, table: str) -> bool:
    while isinstance(side, _PRUNING):
        side = side.this
    return isinstance(side, exp.Column) and side.name == column and side.table in ("", table)
