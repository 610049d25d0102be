"""What a rebuild selects of the enrichment, so that Arrow has the values that the line of a message has."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from engagement_platform.adapters import sql
from engagement_platform.adapters.sql import identifier
from engagement_platform.domain.columns import NUMERIC_PRECISION, NUMERIC_SCALE, Base, Column, Schema

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = sql.load(__package__, "history.sql")["rows"]
_VALUES = {
    Base.INTEGER: "{0}::bigint",
    Base.NUMERIC: "{0}::text",
    Base.FLOAT: "{0}::text::float8",  # as a message has it: a float4 to the digits of its text
    Base.BOOLEAN: "{0}",
    Base.TEXT: "{0}::text",
    Base.CHAR: "textin(bpcharout({0}))",  # a cast to text would take the blanks at its end
    Base.UUID: "{0}::text",
    Base.DATE: "{0}",
    Base.TIMESTAMP: "{0}",
    Base.JSON: "nullif(btrim({0}::text, E' \\t\\n\\r'), 'null')",
    Base.JSONB: "nullif({0}::text, 'null')",
    Base.BYTES: "{0}",
    Base.ARRAY: "to_json({0})::text",
}
_CARRIED = {
    Base.DATE: "{0} BETWEEN '0001-01-01' AND '9999-12-31'",
    Base.TIMESTAMP: "{0} >= '0001-01-01' AND {0} < '10000-01-01'",
    # Half of a pair of surrogates is no character, and parsers refuse it; PostgreSQL's json does not look.
    Base.JSON: r"regexp_replace(replace({0}::text, '\\', ''), '\\u[dD][89abAB]..\\u[dD][c-fC-F]..', '', 'g')"
    r" !~ '\\u[dD][89a-fA-F]'",
}
"""What a line can hold, of the types that can hold more; else the message is a dead letter, and no row of a rebuild."""
_WIDE = f"{{0}} <> 'NaN' AND abs({{0}}) < 1e{NUMERIC_PRECISION - NUMERIC_SCALE} AND min_scale({{0}}) <= {NUMERIC_SCALE}"


def rows_between(schema: Schema, begin: datetime, end: datetime, order: str) -> str:
    """Return the template of the read of the events from one time to before another, in the order of the schema."""
    columns = (f"{value_of(column)} AS {identifier(column.name)}" for column in schema.columns)
    return sql.filled(
        _ROWS,
        {
            "columns": ",\n       ".join(columns),
            "carried": "".join(f"\n   AND {condition}" for condition in carried(schema)),
            "begin": begin.isoformat(),
            "end": end.isoformat(),
            "order": order,
        },
    )


def carried(schema: Schema) -> list[str]:
    """Return the conditions under which a row can be a line; where it cannot, its message is a dead letter."""
    conditions = [_condition(column) for column in schema.columns if column.name != schema.time]
    return [condition for condition in conditions if condition]


def unfit(schema: Schema) -> list[str]:
    """Return the conditions under which a row cannot be a line, by one column each."""
    narrow = [c for c in schema.columns if c.type.base is Base.NUMERIC and not _is_wide(c)]
    not_a_number = [f"event.{identifier(column.name)} = 'NaN'" for column in narrow]
    return [*(f"NOT {condition}" for condition in carried(schema)), *not_a_number]


def without_nan(schema: Schema, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Leave out the rows with a NaN in a numeric, which no line can hold.

    Here and not among the conditions of the statement, where PostgreSQL would compute each such column a second time.
    """
    import pyarrow.compute as pc  # noqa: PLC0415

    names = [column.name for column in schema.columns if column.type.base is Base.NUMERIC and not _is_wide(column)]
    for batch in batches:
        rows = batch
        for name in names:
            is_nan = pc.fill_null(pc.equal(rows.column(name), "NaN"), fill_value=False)
            if pc.any(is_nan).as_py():
                rows = rows.filter(pc.invert(is_nan))
        yield rows


def fitting(column: Column) -> str:
    """Return what `value_of` does, but null in place of what no line can hold."""
    if column.type.base is Base.NUMERIC and not _is_wide(column):
        return f"nullif({value_of(column)}, 'NaN')"
    condition = _condition(column)
    return f"CASE WHEN {condition} THEN {value_of(column)} END" if condition else value_of(column)


def is_one(column: Column, value: str) -> str:
    """Return the condition that a column has a value, which stands for one as the warehouse has it.

    Of a `char(n)` the blanks at the end do not count.
    """
    if column.type.base is Base.CHAR:
        return f"rtrim({value_of(column)}, ' ') = {value}"
    if column.type.base is Base.UUID:
        return f"event.{identifier(column.name)} = {value}::uuid"
    return f"{value_of(column)} = {value}"


def value_of(column: Column) -> str:
    """Return the value of a column of `event`, in the form in which the warehouse has it."""
    value = f"event.{identifier(column.name)}"
    if _is_wide(column):
        value = f"trim_scale({value})"
    return _VALUES[column.type.base].replace("{0}", value)


def _condition(column: Column) -> str:
    value, base = f"event.{identifier(column.name)}", column.type.base
    if base is Base.ARRAY and column.type.element is not None and column.type.element.base is Base.JSON:
        value, base = f"to_json({value})", Base.JSON
    condition = _WIDE if _is_wide(column) else _CARRIED.get(base, "")
    return f"({value} IS NULL OR {condition.replace('{0}', value)})" if condition else ""


def _is_wide(column: Column) -> bool:
    """Say whether a column may be of a numeric without a scale, which holds more than the warehouse."""
    of = column.type
    return of.base is Base.NUMERIC and (of.precision, of.scale) == (NUMERIC_PRECISION, NUMERIC_SCALE)
