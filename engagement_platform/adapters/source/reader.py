"""Reads the source as the relay needs it: by id, with the locks that tell which ids are still to come.

Only SELECTs, on two tables and on system catalogs that every role can see.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, LiteralString, NamedTuple, cast

import psycopg
from psycopg.rows import RowMaker, namedtuple_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.domain.checkpoint import SourceIdentity
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ids import IdRange, gaps_between
from engagement_platform.domain.ledger import Holders

ENRICHED = sql.load(__package__, "enriched.sql")["enriched"]
_SQL = sql.load(__package__, "relay.sql")
_READ = _SQL["read"].format(enriched=ENRICHED, wanted=_SQL["wanted"], form=session.FORM)
_FIRST_WANTED = _SQL["first_wanted"].replace("{wanted}", _SQL["wanted"])

_PATIENCE_SECONDS = 25.0
"""Beyond the session's statement_timeout: for a server that is frozen and cannot enforce it."""
_STREAM_ROWS = 200
BEYOND_JSON = 1 << 30
"""Bytes of text that PostgreSQL cannot build, so that nobody knows how many there would be."""


class Row(NamedTuple):
    """One event as the read returns it."""

    id: int
    key: bytes | None
    """The content id as text."""
    value: bytes
    """The message, or its beginning when `bytes` is over the limit of the read."""
    bytes: int
    has_timestamp: bool | None
    """Whether RFC 3339 can carry event_ts."""
    form: int = 0
    """The tables and types that the read was planned for."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one read returned: ascending by id; `cut` when a limit ended it."""

    rows: Sequence[Row]
    cut: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a read ends: events, bytes of all messages (the last may exceed it), bytes of one message."""

    rows: int
    bytes: int
    message_bytes: int


class Source:
    """One connection to the source. Raises Unavailable when it breaks; then a new one is needed.

    Raises StreamStopped, or Refused for a right, when a table, column or type is not as the enrichment needs it.
    """

    def __init__(self, dsn: str, connection: psycopg.Connection[Any]) -> None:
        """Look at the source. Raises StreamStopped when polling it cannot be exact."""
        self._dsn = dsn
        self._connection = connection
        self._form = session.fit(dsn, connection)
        with session.reaching(dsn):
            self.identity = self._identity()
            self._sequence = self._find_sequence()

    def _identity(self) -> SourceIdentity:
        found = self._one(_SQL["identity"])
        if found.is_replica:
            raise StreamStopped(
                "The source is a replica: it does not show which transactions are still open.",
                "Let ENGAGEMENT_SOURCE_DSN name the primary.",
            )
        return SourceIdentity(found.system_identifier, found.timeline, found.database)

    def _find_sequence(self) -> int:
        found = self._one(_SQL["sequence"])
        if found is None:
            raise StreamStopped(
                "The column engagement_events.id has no sequence of its own.",
                "It must be BIGSERIAL or an identity column.",
            )
        if found.cache != 1 or found.increment < 1 or found.cycles:
            raise StreamStopped(
                f"The sequence {found.name} has CACHE {found.cache}, INCREMENT {found.increment}"
                f"{', CYCLE' if found.cycles else ''}: ids can then appear in an order that no polling can follow.",
                f"Ask the owner to run: ALTER SEQUENCE {found.name} CACHE 1 INCREMENT 1 NO CYCLE",
            )
        return cast("int", found.oid)

    def _one(self, statement: LiteralString, **parameters: object) -> Any:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement, parameters or None).fetchone()

    def holders(self) -> Holders:
        """Return the transactions that could still commit an id, now."""
        with session.reaching(self._dsn):
            found = self._connection.execute(_SQL["holders"], {"sequence": self._sequence}, prepare=True).fetchall()
        return Holders(
            frozenset(virtual for virtual, _ in found), frozenset(virtual for virtual, prepared in found if prepared)
        )

    def highest_id(self) -> int:
        """Return the highest visible id; 0 in an empty table."""
        with session.reaching(self._dsn):
            return self._one(_SQL["highest_id"]).id or 0

    def last_given(self) -> int | None:
        """Return the id given out last; None where there is none, or the role may not see the sequence."""
        with session.reaching(self._dsn):
            return cast("int | None", self._one(_SQL["last_given"], sequence=self._sequence).id)

    def highest_given(self) -> int:
        """Return the highest id given out, as far as the role may see it: else the highest visible one."""
        last = self.last_given()
        return self.highest_id() if last is None else last

    def missing_below(self, hi: int, ids: int) -> tuple[IdRange, ...]:
        """Return the ids that are not visible among the last `ids` up to `hi`."""
        with session.reaching(self._dsn):
            found = self._connection.execute(_SQL["visible_ids"], {"hi": hi, "ids": ids}).fetchall()
        return gaps_between(max(hi - ids, 0), [row[0] for row in found])

    def read(self, hi: int, probes: Sequence[IdRange], limits: Limits) -> Rows:
        """Return the events above `hi` and those in `probes`, from one snapshot.

        Raises Unavailable where a column or type was changed since the source was looked at: none of it is returned.
        An event whose JSON is beyond what PostgreSQL can build (1 GB) comes alone, without its value.
        """
        parameters = {
            "hi": hi,
            "firsts": [probe.first for probe in probes],
            "lasts": [probe.last for probe in probes],
            "rows": limits.rows,
            "max_bytes": limits.message_bytes,
        }
        with session.reaching(self._dsn):
            try:
                return self._stream(parameters, limits)
            except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
                if limits.rows > 1:
                    return self.read(hi, probes, replace(limits, rows=limits.rows // 2))
                first = self._one(_FIRST_WANTED, **parameters).id
                return Rows([Row(first, None, b"", BEYOND_JSON, has_timestamp=True)], cut=True)

    def _stream(self, parameters: dict[str, Any], limits: Limits) -> Rows:
        rows: list[Row] = []
        total = 0
        with self._connection.cursor(binary=True, row_factory=_row) as cursor:
            for row in cursor.stream(_READ, parameters, size=_STREAM_ROWS):
                if row.form != self._form:
                    raise session.changed()
                rows.append(row)
                total += len(row.value)
                if total >= limits.bytes:
                    return Rows(rows, cut=True)
        return Rows(rows, cut=len(rows) == limits.rows)


def _row(_: psycopg.Cursor[Any]) -> RowMaker[Row]:
    return Row._make


@contextmanager
def open_source(dsn: str) -> Iterator[Source]:
    """Connect to the source. Raises Unavailable, or StreamStopped when polling it cannot be exact."""
    connection = session.connect(dsn, "relay", patience=_PATIENCE_SECONDS, prepare=_SQL["prepare_session"])
    try:
        yield Source(dsn, connection)
    finally:
        connection.close()
