"""Rebuilds days of a stream's table from the source while the stream goes on. Each day equals the source's snapshot.

The order is the proof: from the open row on, no live load of the day starts; those
that are open are settled; the relay's checkpoint is read before the snapshot is taken; what the snapshot has seen is
stored before the day is replaced, and comes into force in the step that closes the row.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.adapters.source.by_day import ByDay
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.history import has_index, open_history
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Conflict, Overtaken, Replacement, Warehouse
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.checkpoint import missing_ranges, require_same_source
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.days import consecutive
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.reconciliation import Ids
from engagement_platform.domain.removal import Removal, RemovalRefused, takes_too_much
from engagement_platform.domain.table import table_of
from engagement_platform.history import published
from engagement_platform.history.before import ids_of_day, lacking_of, missed_by_stream, removal_of
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import number_now
from engagement_platform.stream.stage.open_loads import settle_load
from engagement_platform.stream.stage.open_rebuilds import SILENT_SECONDS, Silence, settle_rebuild

if TYPE_CHECKING:
    import numpy as np

    from engagement_platform.adapters.source.by_day import AtEnd

log = logging.getLogger("engagement_platform.rebuild")

BEAT_SECONDS = 1.0
"""How often a rebuild writes its heartbeat. Whoever needs the day waits for `SILENT_SECONDS` without one."""
_LIVES = 3
"""How often days are rebuilt again after their rebuild was taken for dead while it lived."""
_LIVE_LOAD_SECONDS = 5.0
"""How long the stage may take to finish a load that it is at, before the rebuild completes it."""
_ANOTHER_SECONDS = 3_600.0
_POLL_SECONDS = 0.1
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A day that equals the source again."""

    day: date
    rows: int
    seconds: float


def rebuild_days(
    settings: Settings,
    days: Sequence[date],
    run_id: str,
    on_day: Callable[[Rebuilt], None] = lambda _: None,
    *,
    allow_removal: bool = False,
) -> list[Rebuilt]:
    """Rebuild days, ascending, and return what was done; `on_day` is told as soon as a day is done.

    Each day is replaced by itself: what was done stays done when a later day fails. Where the source has no index on
    its time, consecutive days are read in one scan. Raises EngagementError; the day in hand is then as it was.

    Unless `allow_removal`, a day is left as it was that would lose a large part of its rows (`domain.removal`): raises
    RemovalRefused once the other days are done.
    """
    ensure_schema(settings)
    ensure_topics(settings)
    schema = schema_now(origin_of(settings))
    number_now(settings, schema)  # columns that messages could not have are no table's either
    warehouse = open_warehouse(settings)
    table_id = warehouse.ensure(table_of(origin_of(settings).stream, schema))
    done: list[Rebuilt] = []
    refused: list[Removal] = []
    with Loads.opened(settings, "rebuild") as loads:
        for together in _groups(settings, days):
            work = _Rebuild(
                settings,
                warehouse,
                loads,
                table_id,
                run_id,
                schema=schema,
                refused=None if allow_removal else refused,
            )
            for rebuilt in _persistent(work, together):
                done.append(rebuilt)
                on_day(rebuilt)
    if refused:
        raise RemovalRefused(refused)
    return done


class _TakenForDead(Unavailable):
    """Another process has settled this rebuild, so nothing that it still does takes effect."""


def _persistent(work: "_Rebuild", days: Sequence[date]) -> Iterator[Rebuilt]:
    """Rebuild the days; begin again with those that are left when the process was frozen for too long meanwhile."""
    left = list(days)
    for life in range(_LIVES):
        try:
            for day, rebuilt in work.run(left.copy()):
                left.remove(day)
                if rebuilt is not None:
                    yield rebuilt
            return
        except _TakenForDead as error:
            if life == _LIVES - 1:
                raise
            log.warning("%s", error)


def missed_before(settings: Settings, run_id: str, days: Sequence[date]) -> dict[date, Ids]:
    """Return for each day what the stream had not brought before a run first rebuilt it. Raises Unavailable."""
    ensure_schema(settings)
    with Rebuilds.opened(settings, "missed") as rebuilds:
        return rebuilds.missed_before(run_id, days)


def _groups(settings: Settings, days: Sequence[date]) -> Iterator[list[date]]:
    if len(days) > 1 and not has_index(origin_of(settings)):
        yield from consecutive(days)
    else:
        yield from ([day] for day in sorted(set(days)))


class _Rebuild:
    """One scan of the source, for one day or several."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        loads: Loads,
        table_id: str,
        run_id: str,
        *,
        schema: Schema,
        refused: list[Removal] | None,
    ) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._loads = loads
        self._rebuilds = Rebuilds(loads.session)
        self._schema = schema
        self._table = table_of(origin_of(settings).stream, schema)
        self._table_id = table_id
        self._run_id = run_id
        self._refused = refused
        """Takes what was not done because too much would go; None: any number of rows may go."""
        self._silence = Silence()
        self._open: dict[date, int] = {}
        """day -> number of its rebuild, in the order of the days."""

    def run(self, days: Sequence[date]) -> Iterator[tuple[date, Rebuilt | None]]:
        """Rebuild the days; yield each, with None where that was refused.

        Whatever happens, no row of ours stays open that the database lets us close.
        """
        self._open.clear()
        try:
            with _beating(self._settings, self._open):
                for day in days:
                    self._open[day] = self._begin(day)
                self._settle_live_loads()
                yield from self._replace_all()
        finally:
            with suppress(Unavailable):
                self._settle_own()

    def _begin(self, day: date) -> int:
        """Enter the rebuild of a day. Waits for one that is under way, and settles one whose process is gone."""
        deadline = time.monotonic() + _ANOTHER_SECONDS
        while True:
            opened = self._rebuilds.begin(self._table_id, day, self._run_id)
            if opened is not None:
                return opened.number
            others = self._rebuilds.all_open(self._table_id, [day])
            self._wait_for(others, deadline)

    def _wait_for(self, others: Sequence[RebuildRow], deadline: float) -> None:
        for other in others:
            if other.run_id == self._run_id or self._silence.is_dead(other, SILENT_SECONDS, time.monotonic()):
                settle_rebuild(self._warehouse, self._rebuilds, other, self._table)
            elif time.monotonic() > deadline:
                raise EngagementError(
                    f"Run {other.run_id} has been rebuilding {other.day} for over an hour.",
                    "Look at that run; end it if it is stuck, and start this one again.",
                )
        time.sleep(_POLL_SECONDS)

    def _settle_live_loads(self) -> None:
        """See that no live load of the days is open: the stage finishes it, or it is completed here."""
        deadline = time.monotonic() + _LIVE_LOAD_SECONDS
        while loads := self._loads.open_loads(self._table_id, list(self._open)):
            if time.monotonic() > deadline:
                for load in loads:
                    settle_load(self._warehouse, self._loads, load, self._settings)
            time.sleep(_POLL_SECONDS)

    def _replace_all(self) -> Iterator[tuple[date, Rebuilt | None]]:
        for _ in range(_TRIES):
            try:
                yield from self._replace()
                return
            except Conflict:
                log.info("another writer was faster; the days are read again")
        raise Unavailable(
            f"Other writers replaced days of the table {_TRIES} times during the rebuild of {min(self._open)}.",
            "Run it again when fewer days are rebuilt at once.",
        )

    def _replace(self) -> Iterator[tuple[date, Rebuilt | None]]:
        """Read the checkpoint, take the snapshot, store what it sees, replace day by day."""
        relayed = self._seen_by_relay()
        started = time.monotonic()
        with open_history(origin_of(self._settings)) as history:
            if history.schema != self._schema:
                raise Unavailable("The columns of the source changed during the rebuild.", "Run it again.")
            coverage = history.coverage(relayed)
            for number in self._open.values():
                if not self._rebuilds.cover(number, coverage):
                    raise self._lost()
            by_day = history.rows(list(self._open), arrow_schema(self._table))
            expected = published.since_start(self._settings), relayed
            for day, number in list(self._open.items()):
                looked = self._looked_at(day, number, expected)
                rows = self._replace_day(day, number, by_day, looked)
                del self._open[day]
                yield day, None if rows is None else Rebuilt(day, rows, time.monotonic() - started)
                started = time.monotonic()

    def _looked_at(self, day: date, number: int, expected: tuple[Coverage | None, Coverage]) -> "AtEnd":
        """Return what compares the day as it is with the source's ids, once all of them are known."""
        before = ids_of_day(stream_of(self._settings), self._warehouse, day)
        at_start, published_now = expected

        def look(source: "np.ndarray[Any, Any]") -> None:
            removal = removal_of(day, before, source)
            if self._refused is not None and takes_too_much(removal.rows, removal.gone):
                raise RemovalRefused([removal])
            missed = Ids()
            if at_start is not None:
                lacking = lacking_of(before, source)
                missed = missed_by_stream(
                    self._settings,
                    self._warehouse,
                    self._loads,
                    self._table_id,
                    expected=(at_start, published_now),
                    lacking=lacking,
                )
            if not self._rebuilds.note_missed(number, missed):
                raise self._lost()
            if missed.count:
                log.error("%s: the stream had not brought %d events: %s", day, missed.count, missed)

        return look

    def _replace_day(self, day: date, number: int, by_day: ByDay, look: "AtEnd") -> int | None:
        """Replace a day and return its rows; None when that was refused."""
        try:
            rows = self._warehouse.replace_day(Replacement(self._table, day, number), by_day.of(day, look))
        except Overtaken:
            raise self._lost() from None
        except Exception as error:
            if self._refused is not None and isinstance(by_day.failure, RemovalRefused):
                self._refused += by_day.failure.removals
                settle_rebuild(self._warehouse, self._rebuilds, self._rebuilds.get(number), self._table)
                return None
            raise (by_day.failure or error) from error
        if not self._rebuilds.finish(number, rows):
            raise self._lost()
        return rows

    def _seen_by_relay(self) -> Coverage:
        """Return what the relay has published for sure: it is read before the snapshot, so the snapshot sees it all.

        Raises StreamStopped when the checkpoint is of another source, where its ids stand for other events.
        """
        with open_checkpoints(self._settings) as checkpoints:
            last = checkpoints.last()
        if last is not None:
            with open_source(origin_of(self._settings)) as source:
                given = source.last_given()
                require_same_source(last, source.identity, last.hi if given is None else given, source.table)
        return Coverage(0) if last is None else Coverage(last.hi, tuple(missing_ranges(last)))

    def _settle_own(self) -> None:
        for number in self._open.values():
            row = self._rebuilds.get(number)
            if row.state == "open":
                settle_rebuild(self._warehouse, self._rebuilds, row, self._table)

    def _lost(self) -> _TakenForDead:
        return _TakenForDead(
            "This rebuild was taken for dead and closed by another process: it had been silent for too long.",
            "It is tried again. If it stays so, the machine or the platform database is overloaded.",
        )


@contextmanager
def _beating(settings: Settings, rebuilds: dict[date, int]) -> Iterator[None]:
    """Give signs of life, from a thread while the block runs, for the rebuilds that are in the mapping by then."""
    beats = Rebuilds(Session(settings, "rebuild-beat"))

    def beat() -> None:
        beats.beat(rebuilds.copy().values())

    with Repeated("rebuild-beat", beat, BEAT_SECONDS, log=log, at_end=beats.close, patience=BEAT_SECONDS):
        yield
