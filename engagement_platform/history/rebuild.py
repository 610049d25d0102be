"""Rebuilds days of a stream's table from the source while the stream goes on. Each day equals the source's snapshot.

The order is the proof: from the open row on, no live load of the day starts; those
that are open are settled; the relay's checkpoint is read before the snapshot is taken; what the snapshot has seen is
stored before the day is replaced, and comes into force in the step that closes the row.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.source.by_day import ByDay
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.history import has_index, open_history
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Conflict, Overtaken, Replacement
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.checkpoint import require_same_source
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.coverage import Coverage, coverage_of
from engagement_platform.domain.days import consecutive
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.reconciliation import Ids
from engagement_platform.domain.removal import Removal, RemovalRefused, takes_too_much
from engagement_platform.domain.stream_table import table_of
from engagement_platform.history import published
from engagement_platform.history.before import ids_of_day, missed_by_stream, removal_of, without
from engagement_platform.history.open_days import OpenDays, TakenForDead
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import number_now

if TYPE_CHECKING:
    import numpy as np

    from engagement_platform.adapters.source.by_day import AtEnd

log = logging.getLogger("engagement_platform.rebuild")

_LIVES = 3
"""How often days are rebuilt again after their rebuild was taken for dead while it lived."""
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
    table = table_of(origin_of(settings).stream, schema)
    table_id = warehouse.ensure(table)
    done: list[Rebuilt] = []
    refused: list[Removal] = []
    with Loads.opened(settings, "rebuild") as loads:
        open_days = OpenDays(settings, warehouse, loads, table, table_id, run_id)
        for together in _groups(settings, days):
            work = _Rebuild(schema, open_days, None if allow_removal else refused)
            for rebuilt in _persistent(work, together):
                done.append(rebuilt)
                on_day(rebuilt)
    if refused:
        raise RemovalRefused(refused)
    return done


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
        except TakenForDead as error:
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


@dataclass(frozen=True, slots=True)
class _Rebuild:
    """One scan of the source, for one day or several."""

    schema: Schema
    days: OpenDays
    refused: list[Removal] | None
    """Takes what was not done because too much would go; None: any number of rows may go."""

    @property
    def settings(self) -> Settings:
        return self.days.settings

    def run(self, days: Sequence[date]) -> Iterator[tuple[date, Rebuilt | None]]:
        """Rebuild the days; yield each, with None where that was refused."""
        with self.days.held(days):
            for _ in range(_TRIES):
                try:
                    yield from self._replace()
                    return
                except Conflict:
                    log.info("another writer was faster; the days are read again")
            raise Unavailable(
                f"Other writers replaced days of the table {_TRIES} times during the rebuild of "
                f"{min(self.days.numbers)}.",
                "Run it again when fewer days are rebuilt at once.",
            )

    def _replace(self) -> Iterator[tuple[date, Rebuilt | None]]:
        """Read the checkpoint, take the snapshot, store what it sees, replace day by day."""
        relayed = self._seen_by_relay()
        started = time.monotonic()
        with open_history(origin_of(self.settings)) as history:
            if history.schema != self.schema:
                raise Unavailable("The columns of the source changed during the rebuild.", "Run it again.")
            self.days.cover(history.coverage(relayed))
            by_day = history.rows(list(self.days.numbers), arrow_schema(self.days.table))
            expected = published.since_start(self.settings), relayed
            for day in list(self.days.numbers):
                rows = self._replace_day(day, by_day, self._looked_at(day, expected))
                yield day, None if rows is None else Rebuilt(day, rows, time.monotonic() - started)
                started = time.monotonic()

    def _looked_at(self, day: date, expected: tuple[Coverage | None, Coverage]) -> "AtEnd":
        """Return what compares the day as it is with the source's ids, once all of them are known."""
        before = ids_of_day(stream_of(self.settings), self.days.warehouse, day)
        at_start, published_now = expected

        def look(source: "np.ndarray[Any, Any]") -> None:
            removal = removal_of(day, before, source)
            if self.refused is not None and takes_too_much(removal.rows, removal.gone):
                raise RemovalRefused([removal])
            missed = Ids()
            if at_start is not None:
                missed = missed_by_stream(self.days, at_start, published_now, lacking=without(source, before))
            self.days.note_missed(day, missed)
            if missed.count:
                log.error("%s: the stream had not brought %d events: %s", day, missed.count, missed)

        return look

    def _replace_day(self, day: date, by_day: ByDay, look: "AtEnd") -> int | None:
        """Replace a day and return its rows; None when that was refused."""
        replacement = Replacement(self.days.table, day, self.days.numbers[day])
        try:
            rows = self.days.warehouse.replace_day(replacement, by_day.of(day, look))
        except Overtaken:
            raise TakenForDead from None
        except Exception as error:
            if self.refused is not None and isinstance(by_day.failure, RemovalRefused):
                self.refused.extend(by_day.failure.removals)
                self.days.give_up(day)
                return None
            raise (by_day.failure or error) from error
        self.days.finish(day, rows)
        return rows

    def _seen_by_relay(self) -> Coverage:
        """Return what the relay has published for sure: it is read before the snapshot, so the snapshot sees it all.

        Raises StreamStopped when the checkpoint is of another source, where its ids stand for other events.
        """
        with open_checkpoints(self.settings) as checkpoints:
            last = checkpoints.last()
        if last is not None:
            with open_source(origin_of(self.settings)) as source:
                given = source.last_given()
                require_same_source(last, source.identity, last.hi if given is None else given, source.table)
        return Coverage(0) if last is None else coverage_of(last)
