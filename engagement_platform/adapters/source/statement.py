"""Asks the source what a stream's statement does: its plan, and what becomes of the newest rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import Described
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain import statement_text
from engagement_platform.domain.statement_plan import Proof, proof_of

_SQL = sql.load(__package__, "statement.sql")
_FACTS = sql.load(__package__, "facts.sql")
_NEWEST = sql.load(__package__, "relay.sql")["highest_id"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation that the statement reads."""

    written: str
    readable: bool
    filtered: bool
    role: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of the newest rows of the table."""

    rows: int
    doubled: int
    first_doubled: int | None
    left_out: int
    first_left_out: int | None
    moved: int
    """Those whose time is not that of the table."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a stream's statement does at the source."""

    proof: Proof | None
    """None where nothing can be read."""
    has_index: bool
    """Whether an index begins with the id."""
    computed: tuple[str, ...]
    """Which of id and time are not the table's column as it is."""
    volatile: tuple[str, ...]
    """PostgreSQL's own functions that give another value at each call."""
    marked_volatile: tuple[str, ...]
    """Other functions that are marked so."""
    changing: tuple[str, ...]
    """What gives another value at another time or in another session."""
    sample: Sample | None
    """None where it took too long."""
    updated: int
    deleted: int


def relations_of(origin: Origin, connection: psycopg.Connection[Any]) -> tuple[Relation, ...]:
    """Return the relations that the statement names. Raises what reading the source raises."""
    names = [name for name in statement_text.relations_in(origin.stream.enriched) if _is_name(name)]
    with session.reaching(origin), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["relations"].encode(), {"names": names}).fetchall()
    return tuple(Relation(row["written"], row["readable"], row["filtered"], row["role"]) for row in rows)


def examine(
    origin: Origin, connection: psycopg.Connection[Any], columns: Sequence[Described], *, readable: bool
) -> Statement:
    """Examine a statement whose columns were described. Raises what reading the source raises."""
    with session.reaching(origin):
        connection.execute(_SQL["prepare_session"].encode())
        return _Examination(origin, connection).all(columns, readable=readable)


class _Examination:
    def __init__(self, origin: Origin, connection: psycopg.Connection[Any]) -> None:
        self._origin, self._connection = origin, connection
        self._text = origin.stream.enriched

    def all(self, columns: Sequence[Described], *, readable: bool) -> Statement:
        tables = self._rows("table")
        plans = self._plans() if readable else {}
        calls = self._functions([self._text, *statement_text.strings_of(list(plans.values()))])
        (changed,) = self._named(_FACTS["changed"], {"oid": tables[0]["oid"]})
        texts = [self._text, *statement_text.strings_of(list(plans.values()))]
        return Statement(
            proof=self._proof(plans, tables, calls) if plans else None,
            has_index=tables[0]["has_index"],
            computed=tuple(self._computed(tables[0], columns)),
            volatile=tuple(sorted(name for name, of in calls.items() if of["is_volatile"] and of["is_builtin"])),
            marked_volatile=tuple(
                sorted(name for name, of in calls.items() if of["is_volatile"] and not of["is_builtin"])
            ),
            changing=tuple(_changing(texts, frozenset(calls))),
            sample=self._sample() if readable else None,
            updated=changed["updated"],
            deleted=changed["deleted"],
        )

    def _rows(self, name: str, **values: object) -> list[dict[str, Any]]:
        return self._named(sql.filled(self._origin.plain(_SQL[name]), values), None)

    def _named(self, statement: str, parameters: Mapping[str, object] | None) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), parameters).fetchall()

    def _plans(self) -> dict[str, Any]:
        newest = self._connection.execute(self._origin.plain(_NEWEST).encode()).fetchone()
        probe = (newest[0] if newest else None) or 1
        return {
            name: self._rows(name, probe=probe)[0]["QUERY PLAN"][0]["Plan"] for name in ("plan_of_id", "plan_of_all")
        }

    def _functions(self, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
        names = sorted({name for text in texts for name in statement_text.calls_in(text)})
        return {row["name"]: row for row in self._named(_SQL["functions"], {"names": names})}

    def _proof(self, plans: Mapping[str, Any], tables: Sequence[Mapping[str, Any]], calls: Mapping[str, Any]) -> Proof:
        names = frozenset((table["schema"], table["name"]) for table in tables)
        single = frozenset(name for name, of in calls.items() if not of["gives_rows"])
        limits_are_one = statement_text.only_single_limits(self._text)
        of_id, of_all = (
            proof_of(plans[name], names, single, limits_are_one=limits_are_one)
            for name in ("plan_of_id", "plan_of_all")
        )
        return replace(of_id, other_rows=tuple(dict.fromkeys((*of_id.other_rows, *of_all.other_rows))))

    def _computed(self, table: Mapping[str, Any], columns: Sequence[Described]) -> list[str]:
        source = self._origin.stream.source
        of = {"oids": list({column.table for column in columns})}
        views = {row["oid"] for row in self._named(_SQL["views"], of)}  # what they do to the rows, the sample shows
        at = {source.id: table["id"], source.time: table["time"]}
        return [
            column.name
            for column in columns
            if column.name in at
            and column.table not in views
            and (column.table, column.number) != (table["oid"], at[column.name])
        ]

    def _sample(self) -> Sample | None:
        try:
            (row,) = self._rows("sample")
        except psycopg.errors.QueryCanceled:
            return None
        return Sample(**row)


def _is_name(name: str) -> bool:
    return not name.upper().startswith(("LATERAL", "SELECT", "UNNEST"))


def _changing(texts: Sequence[str], calls: frozenset[str]) -> list[str]:
    functions = sorted(calls & (statement_text.CLOCKS | statement_text.SESSION))
    words = [word for text in texts for word in statement_text.changing_words(text)]
    return list(dict.fromkeys([*functions, *words]))
