"""The tables that are made from a stream's events: a day of each is made anew by its query.

The query is a file `marts/NAME.sql` of the stream's folder. `[marts.NAME]` of `stream.toml` may say what it is for, and
its columns; where it does not, they are what the query gives.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engagement_platform.domain import stream_form
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.statement_text import BIGQUERY, code_and_names_of, formula_of
from engagement_platform.domain.stream_form import Flaw
from engagement_platform.domain.table import Column, Kind, Table

DAY = Column("day", Kind.DATE, "The day, in UTC.", required=True)
"""The first column of every mart: the query gives it the value of @day."""

_NUMERIC = re.compile(r"NUMERIC\((\d+), ?(\d+)\)")
_TABLE = r"[\w`.-]+(?:\s+(?:AS\s+)?`?\w+`?)?"
_READ = re.compile(rf"\b(?:FROM|JOIN)\s+(?=({_TABLE}(?:\s*,\s*{_TABLE})*))", re.IGNORECASE)

_ENGINE = {
    "VARCHAR": Kind.STRING,
    "BOOLEAN": Kind.BOOL,
    "BLOB": Kind.BYTES,
    "DATE": Kind.DATE,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMP,
    "DOUBLE": Kind.FLOAT64,
    "FLOAT": Kind.FLOAT64,
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
        Kind.INT64,
    ),
}
"""Type of the local engine -> that of a column."""
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_WHOLE_DIGITS, _DECIMALS = 29, 9
"""Digits before and after the point that BigQuery's NUMERIC has."""


@dataclass(frozen=True, slots=True)
class Mart:
    """One of these tables."""

    name: str
    meaning: str
    query: str
    """In BigQuery's dialect; its parameters are @day, @begin and @end, times in UTC."""
    reads: tuple[str, ...]
    """The names of the other marts that the query reads: their day is made before."""
    stated: Table | None = None
    """The table, where `stream.toml` has its columns; else it is what the query gives."""

    @property
    def code_version(self) -> str:
        """What changes with the formula, and not with its comments."""
        return hashlib.sha256(formula_of(self.query, BIGQUERY).encode()).hexdigest()[:12]

    def table(self, given: Mapping[str, str]) -> Table:
        """Return the table as the query gives it: name -> type of the local engine. Raises SettingsError."""
        if given.get(DAY.name) != "DATE":
            raise _fault(f"marts/{self.name}.sql gives no column day of type DATE", "Select @day AS day.")
        columns = tuple(self._given(name, kind) for name, kind in given.items() if name != DAY.name)
        return Table(self.name, self.meaning, day=DAY.name, clustered_by=(), columns=(DAY, *columns))

    def _given(self, name: str, kind: str) -> Column:
        if decimal := _DECIMAL.fullmatch(kind):
            precision, scale = map(int, decimal.groups())
            scale = min(scale, _DECIMALS)
            return Column(name, Kind.NUMERIC, "", precision=min(precision, _WHOLE_DIGITS + scale), scale=scale)
        if kind not in _ENGINE:
            raise _fault(
                f"marts/{self.name}.sql gives {name} as {kind}, which no column of a table can be",
                "Give it another type with CAST.",
            )
        return Column(name, _ENGINE[kind], "")


def flaws_of_marts(forms: Mapping[str, stream_form.Mart], files: Iterable[str] | None) -> Iterator[Flaw]:
    """Yield what is wrong with `[marts]`; `files` are the names of the queries, where all of them are known."""
    for name, form in forms.items():
        if files is not None and name not in files:
            yield Flaw(("marts", name), f"there is no file marts/{name}.sql")
        for column, stated in form.columns.items():
            if _column(column, stated) is None:
                kinds = ", ".join(kind.value for kind in Kind)
                yield Flaw(("marts", name, "columns", column), f"its type {stated.type!r} is none of {kinds}")
        for column in form.clustered_by:
            if column not in form.columns:
                yield Flaw(("marts", name, "clustered_by"), f"{column} is none of its columns")


def marts_of(forms: Mapping[str, stream_form.Mart], queries: Mapping[str, str]) -> dict[str, Mart]:
    """Return name -> mart, each behind those that it reads, of forms without flaws. Raises SettingsError."""
    unsaid = stream_form.Mart()
    marts = {
        name: Mart(
            name,
            forms.get(name, unsaid).meaning,
            query,
            _read_by(query, queries.keys() - {name}),
            _stated(name, forms.get(name, unsaid)),
        )
        for name, query in sorted(queries.items())
    }
    return _in_order(marts)


def _stated(name: str, form: stream_form.Mart) -> Table | None:
    if not form.columns:
        return None
    columns = (_column(column, stated) for column, stated in form.columns.items() if column != DAY.name)
    known = tuple(column for column in columns if column is not None)
    return Table(name, form.meaning, day=DAY.name, clustered_by=form.clustered_by, columns=(DAY, *known))


def _column(name: str, form: stream_form.MartColumn) -> Column | None:
    """Return a column as it is stated; None where its type is none."""
    if numeric := _NUMERIC.fullmatch(form.type):
        precision, scale = map(int, numeric.groups())
        return Column(name, Kind.NUMERIC, form.meaning, form.required, precision, scale)
    kind = next((kind for kind in Kind if kind.value == form.type), None)
    return None if kind is None else Column(name, kind, form.meaning, form.required)


def _read_by(query: str, names: set[str]) -> tuple[str, ...]:
    """Return which of these tables stand behind a FROM or JOIN."""
    tables = [part for listed in _READ.findall(code_and_names_of(query, BIGQUERY)) for part in listed.split(",")]
    read = {table.split()[0].strip("`").rsplit(".", maxsplit=1)[-1].strip("`") for table in tables}
    return tuple(sorted(read & names))


def _in_order(marts: Mapping[str, Mart]) -> dict[str, Mart]:
    done: dict[str, Mart] = {}
    while len(done) < len(marts):
        ready = {name: mart for name, mart in marts.items() if name not in done and set(mart.reads) <= done.keys()}
        if not ready:
            circle = ", ".join(sorted(marts.keys() - done.keys()))
            raise _fault(f"the marts {circle} read each other", "Let one of them read the table of the events.")
        done |= ready
    return done


def _fault(what: str, todo: str) -> SettingsError:
    return SettingsError(f"The stream's folder cannot be used: {what}.", todo)
