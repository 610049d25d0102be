"""What `stream.toml` says of columns, held against the columns that there are.

A stream that breaks one of these rules is refused at the start, before anything is published; `stream check` says the
same with the line.
"""

from collections.abc import Iterator

from engagement_platform.domain.columns import Base, Column, Schema
from engagement_platform.domain.event_stream import COUNT, EventStream
from engagement_platform.domain.stream_form import Flaw, Path, near

MAX_CLUSTERED = 4
"""What BigQuery takes."""

NO_MEMBER = {Base.JSON, Base.JSONB, Base.ARRAY, Base.FLOAT}
"""Whose values have more than one text for what is the same, or none that anybody would ask for."""
NO_CLUSTER = {Base.FLOAT, Base.BYTES}
_WHOLE = {Base.INTEGER}


def flaws_of_columns(stream: EventStream, schema: Schema) -> list[Flaw]:
    """Return everything that views, key, user and clustering ask of the columns and these do not give."""
    return [*_of_dimensions(stream, schema), *_of_measures(stream, schema), *_of_rest(stream, schema)]


def meanings_to_write(stream: EventStream, schema: Schema) -> list[str]:
    """Return the columns without a sentence for people."""
    return [name for name in schema.names if not stream.meanings.get(name, "").strip()]


def meanings_left_over(stream: EventStream, schema: Schema) -> list[str]:
    """Return the meanings of columns that are not there."""
    return [name for name in stream.meanings if name not in schema.names]


def _of_dimensions(stream: EventStream, schema: Schema) -> Iterator[Flaw]:
    for dimension in stream.views.dimensions:
        path = ("views", "dimensions", dimension.name)
        column = _column(schema, dimension.column)
        if column is None:
            yield _absent(schema, (*path, "column"), dimension.column)
        elif column.type.base in NO_MEMBER:
            yield Flaw(
                (*path, "column"),
                f"{column.name} is {column.type}, which nothing can be counted by: name another column, or select a "
                f"text of it in enriched.sql ({_text_of(column)})",
            )
        for name in dimension.shown:
            if _column(schema, name) is None:
                yield _absent(schema, (*path, "shown"), name)


def _text_of(column: Column) -> str:
    return f"round({column.name}::numeric, 2)" if column.type.base is Base.FLOAT else f"{column.name} ->> 'field'"


def _of_measures(stream: EventStream, schema: Schema) -> Iterator[Flaw]:
    for measure in stream.views.measures:
        if measure.name == COUNT or measure.column is None:
            continue
        path = ("views", "measures", measure.name)
        column = _column(schema, measure.column)
        if column is None:
            yield _absent(schema, path, measure.column)
        elif column.name == schema.time:
            yield Flaw(path, f"{column.name} is the time of the events, which is no measure: name a whole number")
        elif column.type.base not in _WHOLE:
            yield Flaw(
                path,
                f"{column.name} is {column.type}, and views add up whole numbers, so that sums are exact: select one "
                f"in enriched.sql ({_whole_of(column)}) and name that",
            )


def _whole_of(column: Column) -> str:
    match column.type.base:
        case Base.NUMERIC if column.type.scale:
            return f"({column.name} * {10**column.type.scale})::bigint, in units of 1/{10**column.type.scale}"
        case Base.NUMERIC | Base.FLOAT:
            return f"{column.name}::bigint"
        case Base.BOOLEAN:
            return f"{column.name}::int"
        case _:
            return "…::bigint"


def _of_rest(stream: EventStream, schema: Schema) -> Iterator[Flaw]:
    path: Path = ("warehouse", "clustered_by")
    if len(stream.clustered_by) > MAX_CLUSTERED:
        yield Flaw(path, f"{MAX_CLUSTERED} columns at most: BigQuery clusters by no more")
    for name in stream.clustered_by:
        column = _column(schema, name)
        if column is None:
            yield _absent(schema, path, name)
        elif column.type.base in NO_CLUSTER:
            yield Flaw(path, f"{name} is {column.type}, by which BigQuery does not cluster: name another column")
    if stream.user is not None:
        column = _column(schema, stream.user)
        if column is None:
            yield _absent(schema, ("warehouse", "user"), stream.user)
        elif column.type.is_json or column.type.base in (Base.FLOAT, Base.BYTES):
            yield Flaw(("warehouse", "user"), f"{stream.user} is {column.type}, which names no person")


def _column(schema: Schema, name: str) -> Column | None:
    return next((column for column in schema.columns if column.name == name), None)


def _absent(schema: Schema, path: Path, name: str) -> Flaw:
    return Flaw(path, f"enriched.sql has no column {name}{near(name, schema.names)}")
