"""Reads the source as the relay needs it: by id, with the locks that tell which ids are still to come.

Only SELECTs, on the stream's tables and on system catalogs that every role can see.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

from psycopg.rows import namedtuple_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.bounded import BoundedConnection
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.event_read import EventRead
from engagement_platform.adapters.source.look import SQL, UNCHANGED, look
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.rows import Altered, Limits, Rows
from engagement_platform.domain.checkpoint import SourceIdentity
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.ids import IdRange, gaps_between
from engagement_platform.domain.ledger import EVERYTHING, Holders

_SQL = sql.load(__package__, "relay.sql")
_HOLDERS = _SQL["holders"].replace("{unchanged}", UNCHANGED)

_PATIENCE_SECONDS = 25.0
"""Beyond the session's statement_timeout: for a server that is frozen and cannot enforce it."""
PING_SECONDS = 5.0
"""For how long a server may be silent that is asked for nothing."""


class Source:
    """One connection to the source. Raises Unavailable when it breaks; then a new one is needed.

    Raises StreamStopped, or Refused for a right, when a table, column or type is not as the enrichment needs it.
    """

    def __init__(self, origin: Origin, connection: BoundedConnection[Any]) -> None:
        """Look at the source. Raises StreamStopped when polling it cannot be exact."""
        self._origin = origin
        self._connection = connection
        self._events = EventRead(origin, connection)
        self._statements = {name: origin.statement(text).encode() for name, text in (SQL | _SQL).items()}
        self._holders = origin.statement(_HOLDERS).encode()
        self.look()

    def look(self) -> SourceIdentity:
        """Look anew at what the ids come from. Raises StreamStopped when polling this source cannot be exact."""
        with session.reaching(self._origin):
            self._look = look(self._origin, self._connection)
        self._events.expire()
        return self.identity

    def ping(self) -> None:
        """See that the connection holds, without a lock of any table.

        Raises Unavailable when it was cut, or the server is silent for `PING_SECONDS`.
        """
        with session.reaching(self._origin), self._connection.waiting(PING_SECONDS):
            self._connection.execute(b"SELECT 1")

    @property
    def identity(self) -> SourceIdentity:
        """What the last look saw."""
        return self._look.identity

    @property
    def stream(self) -> EventStream:
        """The stream that is read."""
        return self._origin.stream

    @property
    def schema(self) -> Schema:
        """The schema of what reads return: as long as it is the same object, nothing has changed.

        Raises StreamStopped where `enriched.sql` cannot be used over the source as it is.
        """
        return self._events.described.schema

    @property
    def table(self) -> str:
        """The table's name, for people."""
        return self._origin.stream.source.name

    @property
    def sees_sequence(self) -> bool:
        """Whether the role may ask the sequence which id it gave last."""
        return self._look.sees_sequence

    @property
    def sequence_name(self) -> str:
        """The sequence as SQL names it in the session of the role."""
        return self._look.sequence_name

    def _one(self, statement: bytes) -> Any:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement).fetchone()

    def holders(self) -> Holders:
        """Return the transactions that could still commit an id, now. Raises Altered."""
        with session.reaching(self._origin):
            rows = self._connection.execute(self._holders, self._look.marks_of_change, prepare=True).fetchall()
        if not rows[0][0]:
            raise Altered
        return Holders(
            frozenset(virtual for _, virtual, _ in rows if virtual),
            frozenset(virtual for _, virtual, prepared in rows if virtual and prepared),
        )

    def highest_id(self) -> int:
        """Return the highest visible id; 0 in an empty table."""
        with session.reaching(self._origin):
            return self._one(self._statements["highest_id"]).id or 0

    def before_all(self) -> int:
        """Return an id below every one that is visible, and that the sequence will give: 0, or a lower one."""
        with session.reaching(self._origin):
            lowest = self._one(self._statements["lowest_id"]).id
        return max(-EVERYTHING, min(0, self.last_given() or 0, 0 if lowest is None else lowest - 1))

    def last_given(self) -> int | None:
        """Return the id given out last, 0 where there is none yet; None where the role may not see the sequence."""
        with session.reaching(self._origin):
            statement = f"SELECT {self._look.last_given} AS id".replace("%%", "%")
            return cast("int | None", self._one(statement.encode()).id)

    def highest_given(self) -> int:
        """Return the highest id given out, as far as the role may see it: else the highest visible one."""
        last = self.last_given()
        return self.highest_id() if last is None else last

    def newest_ids(self, hi: int, rows: int) -> list[int]:
        """Return the highest visible ids up to `hi`, descending."""
        return self._ids("newest_ids", hi=hi, rows=rows)

    def holes_between(self, low: int, high: int, most: int) -> tuple[IdRange, ...]:
        """Return the ids above `low` and below the visible `high` that are not visible.

        Reads `most` ids at most: where there are more, what lies above them is one range.
        """
        ids = self._ids("ids_between", low=low, high=high, rows=most)
        return gaps_between(low, ids if ids and ids[-1] == high else [*ids, high])

    def missing_below(self, hi: int, ids: int) -> tuple[IdRange, ...]:
        """Return the ids that are not visible among the last `ids` up to `hi`."""
        return gaps_between(max(hi - ids, 0), self._ids("ids_between", low=hi - ids, high=hi, rows=None))

    def _ids(self, statement: str, **parameters: int | None) -> list[int]:
        with session.reaching(self._origin):
            return [row[0] for row in self._connection.execute(self._statements[statement], parameters)]

    def read(self, hi: int, probes: Sequence[IdRange], limits: Limits) -> Rows:
        """Return the events above `hi` and those in `probes`, from one snapshot, all of them of `schema`.

        Raises Altered, also Unavailable where a column or type was changed since the source was looked at, and
        StreamStopped when an id comes more than once, or `enriched.sql` cannot be used any more: none of it is
        returned. An event whose JSON is beyond what PostgreSQL can build (1 GB) comes alone, without its value.
        """
        return self._events.rows(hi, probes, limits, self._look)


@contextmanager
def open_source(origin: Origin) -> Iterator[Source]:
    """Connect to the source. Raises Unavailable, or StreamStopped when polling it cannot be exact."""
    prepare = _SQL["prepare_session"]
    with closing(session.connect(origin.dsn, "relay", patience=_PATIENCE_SECONDS, prepare=prepare)) as connection:
        yield Source(origin, connection)
