"""What the screen and the lines of progress show, read from the servers while the demo runs."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loops_of
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.redis.ranking_script import Ranked
from engagement_platform.adapters.redis.views import Views
from engagement_platform.adapters.repeated import Interval
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.status import LoopStatus, Summary, summarize
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES

TOP = 10
STATUS_SECONDS = 1.0
"""How often the platform database is asked how the loops stand."""

_PATIENCE_SECONDS = 10.0
_FRESH_MS = 2_000
_RECENT_IDS = 50_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading."""

    source_rows: int
    """Rows in the source table."""
    top: tuple[Ranked, ...]
    """The contents with the most engagement, in milliseconds."""
    as_of_age_ms: int | None
    epochs: int
    """Epochs claimed since the start."""
    loops: Mapping[str, LoopStatus] = field(default_factory=dict)
    handled: Mapping[str, int] = field(default_factory=dict)
    """Loop -> events that it has handled since the start, over all its runs."""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    summary: Summary | None = None
    away: Mapping[str, float] = field(default_factory=dict)
    """Server of the stack that does not answer, as the state folder calls it -> since when, in seconds since 1970."""


class Handled:
    """Adds up what the loops of successive runs have handled."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}
        self.totals: dict[str, int] = {}

    def add(self, run_id: str, loops: Mapping[str, LoopStatus]) -> None:
        """Take in what the loops of a run tell of themselves; a loop that began anew counts from 0 again."""
        for name, status in loops.items():
            events = int(status.progress.get("events", 0))
            before = self._last.get((run_id, name), 0)
            self._last[run_id, name] = events
            self.totals[name] = self.totals.get(name, 0) + (events - before if events >= before else events)


class Observer:
    """Reads the figures. Of a server that does not answer it keeps the last figures, and says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._views = Views.connect(settings)
        self._platform = Session(settings, "demo")
        self._leases = Leases(self._platform)
        self._pauses = Pauses(self._platform)
        self._rows = SourceRows(settings)
        self._away: dict[str, float] = {}
        self._handled = Handled()
        self._looks = Interval(STATUS_SECONDS, is_due=True)
        self._first_epoch = self._epoch_before()
        self.last = Figures(0, (), None, 0)

    def _epoch_before(self) -> int:
        # Before the very first start there is no table to read.
        with suppress(Unavailable):
            return self._leases.latest().epoch
        return 0

    def read(self) -> Figures:
        """Read what there is."""
        last = self.last
        rows = self._asked("postgres", self._rows.count, last.source_rows)
        stale: tuple[tuple[Ranked, ...], int | None] = (last.top, None)
        top, age = self._asked("valkey", self._read_views, stale)
        self._asked("kafka", self._reach_kafka, None)
        self.last = replace(last, source_rows=rows, top=top, as_of_age_ms=age)
        if self._looks.is_due:
            self._looks.restart()
            with suppress(Unavailable):
                self._read_status()
        self.last = replace(self.last, away=self._away.copy())
        return self.last

    def _read_views(self) -> tuple[tuple[Ranked, ...], int | None]:
        ranking = self._views.top("content", "ms", TOP)
        return tuple(ranking.members), ranking.age_ms

    def _read_status(self) -> None:
        snapshot, pauses = self._leases.snapshot(), self._pauses.present()
        loops = loops_of(self._platform, snapshot.lease.run_id) if snapshot.lease else {}
        if snapshot.lease:
            self._handled.add(snapshot.lease.run_id, loops)
        self.last = replace(
            self.last,
            epochs=max(snapshot.epoch - self._first_epoch, 0),
            loops=loops,
            handled=dict(self._handled.totals),
            pauses=pauses,
            summary=summarize(snapshot, loops, pauses, NAMES),
        )

    def epochs(self) -> int:
        """Return how many epochs were claimed since the start; the last known number when the database is away."""
        with suppress(Unavailable):
            return max(self._leases.latest().epoch - self._first_epoch, 0)
        return self.last.epochs

    def is_alive(self) -> bool:
        """Say whether a run has claimed the lease since the start, and its tally counts."""
        with suppress(Unavailable):
            age = self._views.top("content", "ms", TOP).age_ms
            return self.epochs() > 0 and age is not None and age < _FRESH_MS
        return False

    def close(self) -> None:
        """Close all connections."""
        self._views.close()
        self._platform.close()
        self._rows.close()

    def _reach_kafka(self) -> None:
        host, port = self._settings.kafka.bootstrap_servers.split(",")[0].rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), 2).close()
        except OSError as error:
            raise Unavailable(f"Kafka does not answer: {error}.") from error

    def _asked(self, server: str, read: Callable[[], _T], otherwise: _T) -> _T:
        try:
            value = read()
        except Unavailable:
            self._away.setdefault(server, time.time())
            return otherwise
        self._away.pop(server, None)
        return value


class SourceRows:
    """The number of rows of the source, without counting the whole table each time.

    Only the most recent ids are counted anew; a transaction that stays open while 50,000 others commit is left out of
    what is shown, not of the comparison at the end.
    """

    def __init__(self, settings: Settings) -> None:
        self._origin = origin_of(settings)
        self._connection: psycopg.Connection[Any] | None = None
        self._settled = (-1, 0)
        """An id and the number of rows up to it."""

    def count(self) -> int:
        """Return the number of rows. Raises Unavailable, and StreamStopped when the table is not as it must be."""
        try:
            self._connection = self._connection or session.connect(self._origin.dsn, "demo", patience=_PATIENCE_SECONDS)
            with session.reaching(self._origin):
                return self._count()
        except EngagementError:
            self.close()
            raise

    def _count(self) -> int:
        highest = self._one("highest_id")
        settled_id, settled = self._settled
        edge = highest - _RECENT_IDS
        if edge > settled_id + _RECENT_IDS:
            self._settled = settled_id, settled = edge, settled + self._one("rows_between", settled_id, edge)
        return settled + self._one("rows_between", settled_id, highest)

    def _one(self, name: str, *values: int) -> int:
        assert self._connection is not None, "only called with a connection"  # noqa: S101
        statement = self._origin.statement(sql.load("engagement_platform.local.demo", "figures.sql")[name])
        row = self._connection.execute(statement, values or None).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
