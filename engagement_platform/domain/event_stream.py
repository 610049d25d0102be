"""A stream as one value: what a folder says of an append-only table. Everything else of a stream is a function of it.

The folder has `stream.toml`, which says what SQL cannot; `enriched.sql`, one SELECT, whose columns are those of the
message and of the warehouse's table; and `marts/*.sql`, daily tables. Reading the folder is `adapters.streams`.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engagement_platform.domain import stream_form
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.marts import Mart, flaws_of_marts, marts_of
from engagement_platform.domain.source_tables import Form, Needed, Tables
from engagement_platform.domain.statement_text import formula_of
from engagement_platform.domain.stream_form import Checks, Flaw, Folder, Joined, SourceTable, flaws_of_form

COUNT = "count"
"""The measure that every stream has: how many events."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A table's name; and a dimension's or a measure's, which stands in names of keys."""
_STREAM = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
"""A stream's name stands before `_` or `__` in names of schemas, variables, assets, jobs and ops."""


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
    marts: Mapping[str, Mart]
    """Name -> table that is made from the events, each behind those that it reads."""
    same_values: Mapping[str, str]
    """Hash of `enriched` -> that of an earlier text which gave every row the same values."""
    checks: Checks = field(default_factory=Checks)

    @property
    def joined(self) -> Mapping[str, Joined]:
        """What an event names a row of: as the folder says, or what the views show beside their members."""
        return self.checks.joined or {
            dimension.name: Joined(dimension.column, dimension.shown[0])
            for dimension in self.views.dimensions
            if dimension.shown
        }

    @property
    def code_version(self) -> str:
        """What changes with the formula, and not with comments and line breaks: days of another one are stale."""
        return self.same_values.get(self.own_version, self.own_version)

    @property
    def own_version(self) -> str:
        """The same, whatever `same_values` says."""
        return hashlib.sha256(formula_of(self.enriched).encode()).hexdigest()[:12]


def stream_of(toml: Mapping[str, Any], enriched: str, marts: Mapping[str, str], where: str) -> EventStream:
    """Return the stream of a folder; `where` names `stream.toml` in errors. Raises SettingsError with all its flaws.

    `marts` are the texts of the files: name -> query.
    """
    flaws = flaws_of(toml, marts, complete=True)
    if flaws:
        raise SettingsError(
            f"{where} cannot be used: {'; '.join(map(str, flaws))}.", "docs/your-own-stream.md says what it may hold."
        )
    folder = msgspec.convert(toml, Folder)
    dimensions = tuple(Dimension(name, entry.column, entry.shown) for name, entry in folder.views.dimensions.items())
    summed = tuple(Measure(name, column) for name, column in folder.views.measures.items())
    return EventStream(
        name=folder.name,
        meaning=folder.meaning,
        source=folder.source,
        enriched=enriched,
        key=folder.message.key,
        views=Views(dimensions, (Measure(COUNT, None), *summed)),
        table=folder.warehouse.table,
        clustered_by=folder.warehouse.clustered_by,
        user=folder.warehouse.user,
        meanings=folder.columns,
        tables=_tables(folder),
        marts=marts_of(folder.marts, marts),
        same_values=folder.warehouse.same_values,
        checks=folder.checks,
    )


def flaws_of(toml: Mapping[str, Any], marts: Iterable[str] = (), *, complete: bool = False) -> list[Flaw]:
    """Return everything that is wrong in `stream.toml` by itself, and with the names of marts; mostly nothing.

    With `complete` these are all marts of the folder, and `stream.toml` may speak of no other.
    """
    flaws = flaws_of_form(toml)
    if flaws:
        return flaws
    folder = msgspec.convert(toml, Folder)
    marts = list(marts)
    files = marts if complete else None
    return [
        *_names(folder),
        *_named_checks(folder),
        *_counted(folder.views),
        *_named_marts(folder, marts),
        *flaws_of_marts(folder.marts, files),
    ]


def _names(folder: Folder) -> Iterator[Flaw]:
    if not is_name(folder.name):
        form = "a-z, 0-9 and single _ between them, beginning with a letter, 40 at most"
        yield Flaw(("name",), f"{folder.name!r} is no name of a stream: {form}")
    if not _NAME.fullmatch(folder.warehouse.table):
        form = "a-z, 0-9 and _, beginning with a letter, 40 at most"
        yield Flaw(("warehouse", "table"), f"{folder.warehouse.table!r} is no name: {form}")
    for name in (*folder.checks.joined, *filter(None, [folder.checks.unit])):
        if not _NAME.fullmatch(name):
            yield Flaw(("checks",), f"{name!r} is no name, which stands in that of a check: a-z, 0-9 and _, 40 at most")
    for kind, names in (("dimensions", folder.views.dimensions), ("measures", folder.views.measures)):
        for name in names:
            if not _NAME.fullmatch(name):
                yield Flaw(("views", kind, name), f"{name!r} is no name: a-z, 0-9 and _, 40 at most")


_OTHER_CHECKS = frozenset({"rows", "values"})
"""What stands in `same_…_as_source` of checks that every stream has, and so in no other."""
_KNOWN = frozenset({"days", "values"})
"""The same for `…_known`."""


def _named_checks(folder: Folder) -> Iterator[Flaw]:
    """Yield what would give a check the name of one that is always there."""
    unit = folder.checks.unit
    if unit in _OTHER_CHECKS:
        yield Flaw(("checks", "unit"), f"same_{unit}_as_source is another check already: name the unit otherwise")
    for name in folder.views.measures if unit is None else ():
        if name in _OTHER_CHECKS:
            said = f"same_{name}_as_source is another check already: name the measure otherwise, or say checks.unit"
            yield Flaw(("views", "measures", name), said)
    shown = [name for name, dimension in folder.views.dimensions.items() if dimension.shown]
    for name in folder.checks.joined or shown:
        if name in _KNOWN:
            path = ("checks", "joined", name) if folder.checks.joined else ("views", "dimensions", name)
            yield Flaw(path, f"{name}_known is another check already: give {name} another name")


def _counted(views: stream_form.Views) -> Iterator[Flaw]:
    if not views.dimensions:
        yield Flaw(("views", "dimensions"), "views.dimensions has none: name at least one column to count by")
    if COUNT in views.measures:
        yield Flaw(("views", "measures", COUNT), f"{COUNT} is the number of events, and always there")


def _named_marts(folder: Folder, marts: Iterable[str]) -> Iterator[Flaw]:
    for name in marts:
        if not _NAME.fullmatch(name):
            yield Flaw((), f"marts/{name}.sql: {name!r} is no name: a-z, 0-9 and _, 40 at most, is a table's")
        elif name == folder.warehouse.table:
            yield Flaw((), f"marts/{name}.sql: {name} is the table of the events already: give the file another name")


def _tables(folder: Folder) -> Tables:
    """Return what is needed: what the folder lists, and in any case the id and the time."""
    source = folder.source
    tables = {
        table: tuple(
            Needed(name, column.type, column.meaning, column.nullable, column.unique)
            for name, column in columns.items()
        )
        for table, columns in folder.tables.items()
    }
    listed = {column.name for column in tables.get(source.name, ())}
    always = (
        Needed(source.id, Form.WHOLE, "Numbers the events.", nullable=False),
        Needed(source.time, Form.TIME, "When it happened.", nullable=False),
    )
    tables[source.name] = (
        *tables.get(source.name, ()),
        *(column for column in always if column.name not in listed),
    )
    return tables


def is_name(text: str) -> bool:
    """Say whether a stream may have this name."""
    return _STREAM.fullmatch(text) is not None
