"""The statements on the warehouse's table of a stream: templates of `table.sql` over the stream's names."""

from engagement_platform.adapters import sql
from engagement_platform.domain.columns import Base, Column
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.reconciliation import Comparison
from engagement_platform.domain.table import Table

_SQL = sql.load(__package__, "table.sql")
_TEXTS = {
    Base.INTEGER: "CAST({0} AS STRING)",
    Base.BOOLEAN: "CAST({0} AS STRING)",
    Base.UUID: "{0}",
    Base.DATE: "CAST({0} AS STRING)",
    Base.TIMESTAMP: "CAST(UNIX_MICROS({0}) AS STRING)",
}
"""Short texts without a comma, as in `adapters.source.compared`. Of any other type the text has a digest of its own."""


def tables_of(stream: EventStream, *events: Table) -> list[Table]:
    """Return the tables of a stream that are known beforehand: its events', and marts whose columns are stated."""
    return [*events, *(mart.stated for mart in stream.marts.values() if mart.stated is not None)]


def statement(stream: EventStream, name: str, **values: object) -> str:
    """Return a statement in BigQuery's dialect, with `values` in the place of its other braces."""
    texts: dict[str, object] = {
        "table": stream.table,
        "id": quoted(stream.source.id),
        "time": quoted(stream.source.time),
        **values,
    }
    return sql.filled(_SQL[name], texts)


def figures_of_day(stream: EventStream, comparison: Comparison) -> str:
    """Return the statement for what a day is compared by.

    Columns as in `adapters.source.compared`, and j0, j1, …, which say whether the row of what is joined was missing.
    """
    parts = [f"{quoted(column.name)} AS m{number}" for number, column in enumerate(comparison.measures)]
    parts.append(f"{_digest(comparison)} AS digest")
    parts += [f"{quoted(column.name)} AS p{number}" for number, column in enumerate(comparison.plain)]
    for number, (names, brings) in enumerate(comparison.joined.values()):
        parts.append(f"{quoted(names)} IS NOT NULL AND {quoted(brings)} IS NULL AS j{number}")
    return statement(stream, "figures_of_day", figures=", ".join(parts))


def days_of_user(stream: EventStream, column: Column) -> str:
    """Return the statement for the days that hold events of the user @user_id."""
    name = quoted(column.name)
    of_user = f"RTRIM({name}, ' ')" if column.type.base is Base.CHAR else name
    return statement(stream, "days_of_user", of_user=f"{of_user} = @user_id")


def quoted(name: str) -> str:
    """Return a column's name as BigQuery's dialect takes it."""
    return f"`{name}`"


def _digest(comparison: Comparison) -> str:
    if not comparison.hashed:
        return "''"
    texts = ", ".join(f"IFNULL({_text(column)}, '-'), ','" for column in comparison.hashed)
    return f"SUBSTR(TO_HEX(SHA256(CONCAT({texts}))), 1, 16)"


def _text(column: Column) -> str:
    name = quoted(column.name)
    if column.type.base in _TEXTS:
        return _TEXTS[column.type.base].replace("{0}", name)
    return f"TO_HEX(SHA256({name}))"
