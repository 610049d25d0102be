"""Carries a query out over tables without rows: what is wrong with it is said, and which columns it gives."""

from collections.abc import Mapping, Sequence

import duckdb

from engagement_platform.adapters.sql import identifier
from engagement_platform.adapters.warehouse.delta import dialect
from engagement_platform.adapters.warehouse.delta.queries import column_type, explained_query, require_single
from engagement_platform.adapters.warehouse.port import Parameter, QueryFailed
from engagement_platform.domain.table import Table


def columns_of(sql: str, tables: Sequence[Table], parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """Return name -> type, as the local engine has it, of what a query gives. Raises QueryFailed."""
    query = dialect.translate(sql)
    unknown = sorted(query.parameters - parameters.keys())
    if unknown:
        raise QueryFailed(f"The query has parameters that nobody gives: {', '.join('@' + name for name in unknown)}.")
    missing = sorted(query.tables - {table.name for table in tables})
    if missing:
        raise QueryFailed(
            f"There is no table {', '.join(missing)}.", f"It can ask {', '.join(table.name for table in tables)}."
        )
    given = {name: value for name, value in parameters.items() if name in query.parameters}
    with duckdb.connect(config={"enable_external_access": "false"}) as connection, explained_query():
        for table in tables:
            columns = ", ".join(f"{identifier(column.name)} {column_type(column)}" for column in table.columns)
            connection.execute(f"CREATE TABLE {identifier(table.name)} ({columns})")
        answer = connection.sql(query.sql, params=given) if given else connection.sql(query.sql)
        names, types = answer.columns, [str(kind) for kind in answer.types]
        answer.fetchall()
    require_single(names)
    return dict(zip(names, types, strict=True))


def parameters_of(sql: str) -> frozenset[str]:
    """Return the names of a query's parameters. Raises QueryFailed where it is no query."""
    return dialect.translate(sql).parameters
