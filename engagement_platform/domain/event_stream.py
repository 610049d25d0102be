"""A stream as one value: what a folder says of an append-only table. Everything else of a stream is a function of it.

The folder has `stream.toml`, which says what SQL cannot; `enriched.sql`, one SELECT, whose columns are those of the
message and of the warehouse's table; and `marts/*.sql`, daily tables. Reading the folder is `adapters.streams`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.source_tables import Form, Needed, Tables

COUNT = "count"
"""The measure that every stream has: how many events."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A stream's name stands in names of topics, keys, tables, assets and jobs."""
_DIMENSION = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A dimension's or a measure's name stands in names of keys."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The append-only table in which the events appear."""

    name: str
    """As SQL writes it, with its schema where that is not in the search_path."""
    id: str
    """The column that a sequence with CACHE 1 numbers."""
    time: str
    """The column with the time of the event, timestamptz: it decides the day, and the place in the window."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """What the views count by."""

    name: str
    column: str
    """The column of the message whose values are the members."""
    shown: tuple[str, ...] = ()
    """Columns that are kept beside each member, for people: the last value that came."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What the views add up for each member."""

    name: str
    column: str | None
    """A column of whole numbers; null adds 0. None: the number of events."""


@dataclass(frozen=True, slots=True)
class Views:
    """What is counted over the sliding window."""

    dimensions: tuple[Dimension, ...]
    measures: tuple[Measure, ...]
    """The first one is `COUNT`."""

    @property
    def first_sum(self) -> str | None:
        """The column of the first measure that sums one: what days are compared by; None where nothing is summed."""
        return next((measure.column for measure in self.measures if measure.column is not None), None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a message that are counted or shown, each once."""
        counted = [dimension.column for dimension in self.dimensions]
        shown = [column for dimension in self.dimensions for column in dimension.shown]
        summed = [measure.column for measure in self.measures if measure.column is not None]
        return tuple(dict.fromkeys([*counted, *summed, *shown]))


@dataclass(frozen=True, slots=True)
class EventStream:
    """One stream."""

    name: str
    meaning: str
    source: SourceTable
    enriched: str
    """The text of `enriched.sql`: a SELECT without a final semicolon."""
    key: str
    """The column whose text is the message's key: its events stay in order."""
    views: Views
    table: str
    """The table of the warehouse."""
    clustered_by: tuple[str, ...]
    user: str | None
    """The column that names a person, for erasures; None where there is none."""
    meanings: Mapping[str, str]
    """Column -> a sentence for people."""
    tables: Tables
    """What the source's tables must have. At least the id and the time of `source`."""
    marts: Mapping[str, str]
    """Name of a daily table -> its query, in BigQuery's dialect."""
    same_values: Mapping[str, str]
    """Hash of `enriched` -> that of an earlier text which gave every row the same values."""

    @property
    def code_version(self) -> str:
        """What changes with the formula, and not with comments and line breaks: days of another one are stale."""
        formula = " ".join(self.enriched.split())
        version = hashlib.sha256(formula.encode()).hexdigest()[:12]
        return self.same_values.get(version, version)


class _Source(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    id: str
    time: str


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    key: str


class _Dimension(msgspec.Struct, forbid_unknown_fields=True):
    column: str
    shown: tuple[str, ...] = ()


class _Views(msgspec.Struct, forbid_unknown_fields=True):
    dimensions: dict[str, _Dimension]
    measures: dict[str, str] = {}


class _Warehouse(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    clustered_by: tuple[str, ...] = ()
    user: str | None = None
    same_values: dict[str, str] = {}


class _Needed(msgspec.Struct, forbid_unknown_fields=True):
    type: Form
    meaning: str
    nullable: bool = True


class _Folder(msgspec.Struct, forbid_unknown_fields=True):
    """The form of `stream.toml`."""

    name: str
    meaning: str
    source: _Source
    message: _Message
    views: _Views
    warehouse: _Warehouse
    tables: dict[str, dict[str, _Needed]] = {}
    columns: dict[str, str] = {}


def stream_of(toml: Mapping[str, Any], enriched: str, marts: Mapping[str, str], where: str) -> EventStream:
    """Return the stream of a folder; `where` names `stream.toml` in errors. Raises SettingsError."""
    try:
        folder = msgspec.convert(toml, _Folder)
    except msgspec.ValidationError as error:
        raise _fault(where, str(error)) from error
    for name in (folder.name, folder.warehouse.table):
        _require(
            _NAME.fullmatch(name), where, f"{name!r} is no name: a-z, 0-9 and _, beginning with a letter, 40 at most"
        )
    for name in (*folder.views.dimensions, *folder.views.measures):
        _require(_DIMENSION.fullmatch(name), where, f"views: {name!r} is no name: a-z, 0-9 and _, 40 at most")
    _require(folder.views.dimensions, where, "views.dimensions has none: name at least one column to count by")
    _require(
        COUNT not in folder.views.measures, where, f"views.measures: {COUNT} is the number of events, and always there"
    )
    dimensions = tuple(Dimension(name, each.column, each.shown) for name, each in folder.views.dimensions.items())
    summed = tuple(Measure(name, column) for name, column in folder.views.measures.items())
    return EventStream(
        name=folder.name,
        meaning=folder.meaning,
        source=SourceTable(folder.source.table, folder.source.id, folder.source.time),
        enriched=enriched,
        key=folder.message.key,
        views=Views(dimensions, (Measure(COUNT, None), *summed)),
        table=folder.warehouse.table,
        clustered_by=folder.warehouse.clustered_by,
        user=folder.warehouse.user,
        meanings=folder.columns,
        tables=_tables(folder),
        marts=marts,
        same_values=folder.warehouse.same_values,
    )


def _tables(folder: _Folder) -> Tables:
    """Return what is needed: what the folder lists, and in any case the id and the time."""
    source = folder.source
    tables = {
        table: tuple(Needed(name, column.type, column.meaning, column.nullable) for name, column in columns.items())
        for table, columns in folder.tables.items()
    }
    listed = {column.name for column in tables.get(source.table, ())}
    always = (
        Needed(source.id, Form.WHOLE, "Numbers the events.", nullable=False),
        Needed(source.time, Form.TIME, "When it happened.", nullable=False),
    )
    tables[source.table] = (
        *tables.get(source.table, ()),
        *(column for column in always if column.name not in listed),
    )
    return tables


def _require(condition: object, where: str, what: str) -> None:
    if not condition:
        raise _fault(where, what)


def _fault(where: str, what: str) -> SettingsError:
    return SettingsError(f"{where} cannot be used: {what}.", "docs/your-own-stream.md says what it may hold.")
