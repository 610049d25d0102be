"""Writes a draft as the files of a stream's folder."""

import json
import re
from collections.abc import Iterator, Sequence, Set

from engagement_platform.domain.columns import Base
from engagement_platform.domain.drafts.source import slug
from engagement_platform.domain.drafts.values import Draft, Join, Selected
from engagement_platform.domain.sql_names import written
from engagement_platform.domain.stream_rules import NO_CLUSTER

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_OF_BIGQUERY_WORDS = """
    all and any array as asc assert_rows_modified at between by case cast collate contains create cross cube
    current default define desc distinct else end enum escape except exclude exists extract false fetch
    following for from full group grouping groups hash having if ignore in inner intersect interval into is
    join lateral left like limit lookup merge natural new no not null nulls of on or order outer over
    partition preceding proto qualify range recursive respect right rollup rows select set some struct
    tablesample then to treat true unbounded union unnest using when where window with within day
"""
_OF_BIGQUERY = frozenset(_OF_BIGQUERY_WORDS.split())
"""What has to stand in backticks there; `day` is a column of every daily table."""


def files_of(draft: Draft) -> dict[str, str]:
    """Return path within the folder -> text."""
    return {
        "stream.toml": "\n".join(_lines_of_toml(draft)) + "\n",
        "enriched.sql": _enriched(draft),
        f"marts/{_mart_name(draft)}.sql": _mart(draft),
    }


def _text(text: str) -> str:
    """Return a text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, names))}]"


def _lines_of_toml(draft: Draft) -> Iterator[str]:
    meaning = draft.table.comment.rstrip(".") or f"The rows of {draft.table.written}"
    yield "# What SQL cannot say of the stream; enriched.sql has its columns. docs/your-own-stream.md explains both."
    yield f"name = {_text(draft.name)}"
    yield f"meaning = {_text(f'{meaning}: one row an event.')}"
    yield ""
    yield "[source]"
    yield f"table = {_text(draft.table.written)}"
    yield f"id = {_text(draft.id)}"
    yield f"time = {_text(draft.time)}"
    yield ""
    yield "# Events with the same key stay in order."
    yield "[message]"
    yield f"key = {_text(draft.key)}"
    yield ""
    yield "# What Redis counts by, over the last minutes; `shown` is kept beside each member, for people."
    yield "[views.dimensions]"
    for name, (column, shown) in zip(_names(draft), draft.dimensions, strict=True):
        beside = f", shown = {_list(shown)}" if shown else ""
        yield f"{name} = {{ column = {_text(column)}{beside} }}"
    yield ""
    yield "# What is added up beside the number of events, which is always there: whole numbers."
    yield "[views.measures]"
    for name, column in zip(_unique(draft.measures, taken={"count"}), draft.measures, strict=True):
        yield f"{name} = {_text(column)}"
    yield from _offered_measures(draft)
    yield ""
    yield "[warehouse]"
    yield f"table = {_text(draft.name)}"
    yield f"clustered_by = {_list(_clustered(draft))}"
    if draft.user is not None:
        yield "# Names a person: `engagement-platform erase-user` follows it."
        yield f"user = {_text(draft.user)}"
    yield ""
    yield "# What each column of the message and of the warehouse's table means."
    yield "[columns]"
    for selected in draft.selected:
        yield f"{_key(selected.name)} = {_text(selected.meaning)}"


def _names(draft: Draft) -> list[str]:
    """Return a name for each dimension: of a column that leads to another table, that of its rows."""
    stems = [
        re.sub(r"(?<=.)_?(?:id|uuid)$", "", column.lower()) if shown else column for column, shown in draft.dimensions
    ]
    return _unique(stems, taken=set())


def _unique(names: Sequence[str], taken: set[str]) -> list[str]:
    given = list[str]()
    for name in names:
        text = slug(name)
        while text in taken:
            text = f"{text[:39]}_"
        taken.add(text)
        given.append(text)
    return given


def _offered_measures(draft: Draft) -> Iterator[str]:
    for column in draft.selected:
        of = column.column.type
        if of is not None and of.base is Base.NUMERIC and 0 < of.scale <= 4:
            yield (
                f"# {slug(column.name)}_units = …, with ({column.expression} * {10**of.scale})::bigint AS … in "
                "enriched.sql"
            )


def _clustered(draft: Draft) -> list[str]:
    (column,) = (column for column in draft.selected if column.name == draft.key)
    of = column.column.type
    return [draft.key] if of is not None and of.base not in NO_CLUSTER else []


def _enriched(draft: Draft) -> str:
    joins = [join for join in draft.joins if not join.refused]
    columns = [*draft.columns, *(column for join in joins for column in join.columns)]
    lines = [
        f"-- One event: a row of {draft.table.written}"
        + (", with columns of the tables that it leads to." if joins else "."),
        "-- Stream, rebuild and checks all read this text. It must give each row once, and the same whenever it is "
        "read.",
        "SELECT",
        _columns(columns),
        f"  FROM {draft.table.written} AS event",
    ]
    for join in draft.joins:
        lines += _join(join, draft)
    return "\n".join(lines) + "\n"


def _columns(columns: Sequence[Selected]) -> str:
    """Return the list behind SELECT, one column a line; what is only offered stands behind `--`, to be taken away."""
    last = [column for column in columns if not column.is_offered][-1]
    lines = list[str]()
    for column in [*(column for column in columns if column is not last), last]:
        if column.is_offered:
            lines.append(f"       -- {_column(column)},{f'  -- {column.note}' if column.note else ''}")
        else:
            lines += [f"       -- {column.note}"] if column.note else []
            lines.append(f"       {_column(column)}{'' if column is last else ','}")
    return "\n".join(lines)


def _column(column: Selected) -> str:
    name = column.expression.rsplit(".", 1)[-1]
    is_plain = name.strip('"') == column.name and column.column.type is not None
    return column.expression if is_plain else f"{column.expression} AS {written(column.name)}"


def _join(join: Join, draft: Draft) -> Iterator[str]:
    own = {column.name: column.written for column in draft.table.columns}
    target = {column.name: column.written for column in join.key.target.columns}
    pairs = zip(join.key.columns, join.key.leads_to, strict=True)
    on = " AND ".join(f"{written(join.alias)}.{target[to]} = event.{own[column]}" for column, to in pairs)
    text = f"LEFT JOIN {join.key.target.written} AS {written(join.alias)} ON {on}"
    if join.refused:
        yield f"  -- {text}"
        yield f"  --   ({join.refused})"
    else:
        yield f"  {text}"


def _mart_name(draft: Draft) -> str:
    return slug(f"daily_{draft.name}_by_{_names(draft)[0]}")


def _mart(draft: Draft) -> str:
    column, taken = draft.dimensions[0][0], {"day"}
    names = {selected.name.lower() for selected in draft.selected}
    alias = _alias(column, taken, names)
    sums = "".join(
        f",\n  SUM({_quoted(measure)}) AS {_quoted(_alias(measure, taken, names))}" for measure in draft.measures
    )
    events = _quoted(_alias("events", taken, names))
    name, by = _mart_name(draft), _quoted(alias)
    chosen = by if alias == column else f"{_quoted(column)} AS {by}"
    return (
        f"-- name: {name}\n"
        f"-- One row for each {column} with events on @day. BigQuery's dialect; days begin and end in UTC.\n"
        f"SELECT\n  @day AS day,\n  {chosen},\n  COUNT(*) AS {events}{sums}\n"
        f"FROM {_quoted(draft.name)}\n"
        f"WHERE {_quoted(draft.time)} >= @begin AND {_quoted(draft.time)} < @end\n"
        f"GROUP BY {by}\n"
    )


def _alias(name: str, taken: set[str], columns: Set[str]) -> str:
    """Return a name that the query gives once; a changed one is no column of the events either."""
    alias = name
    while alias.lower() in taken or (alias != name and alias.lower() in columns):
        alias += "_"
    taken.add(alias.lower())
    return alias


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name not in _OF_BIGQUERY else f"`{name}`"
