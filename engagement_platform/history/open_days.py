"""The days that a rebuild holds: their open rows in the platform database, by which no live load of them starts.

Whoever finds such a row and no sign of life settles it. So each step of the rebuild says whether the row is still ours.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.reconciliation import Ids
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings
from engagement_platform.stream.stage.open_loads import SILENT_SECONDS, Silence, settle_load, settle_rebuild

log = logging.getLogger("engagement_platform.rebuild")

BEAT_SECONDS = 1.0
"""How often a rebuild writes its heartbeat. Whoever needs the day waits for `SILENT_SECONDS` without one."""
_LIVE_LOAD_SECONDS = 5.0
"""How long the stage may take to finish a load that it is at, before the rebuild completes it."""
_ANOTHER_SECONDS = 3_600.0
_POLL_SECONDS = 0.1


class TakenForDead(Unavailable):
    """Another process has settled this rebuild, so nothing that it still does takes effect."""

    def __init__(self) -> None:
        super().__init__(
            "This rebuild was taken for dead and closed by another process: it had been silent for too long.",
            "It is tried again. If it stays so, the machine or the platform database is overloaded.",
        )


@dataclass(eq=False)
class OpenDays:
    """The rows of one run's rebuilds of a table. Steps raise TakenForDead where the row is no longer ours."""

    settings: Settings
    warehouse: Warehouse
    loads: Loads
    table: Table
    table_id: str
    run_id: str
    _silence: Silence = field(default_factory=Silence, init=False)
    _open: dict[date, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._rebuilds = Rebuilds(self.loads.session)

    @property
    def numbers(self) -> Mapping[date, int]:
        """Day -> number of its rebuild, of those that are open, in the order of the days."""
        return self._open

    @contextmanager
    def held(self, days: Sequence[date]) -> Iterator[None]:
        """Hold days while the block runs: no live load of them is open, and none starts.

        Whatever happens, no row of ours stays open that the database lets us close.
        """
        self._open.clear()
        try:
            with _beating(self.settings, self._open):
                for day in days:
                    self._open[day] = self._begin(day)
                self._settle_live_loads()
                yield
        finally:
            with suppress(Unavailable):
                self._settle_own()

    def cover(self, coverage: Coverage) -> None:
        """Store what the snapshot sees, for all of the days; it comes into force with the end of each."""
        for number in self._open.values():
            if not self._rebuilds.cover(number, coverage):
                raise TakenForDead

    def note_missed(self, day: date, missed: Ids) -> None:
        """Note what the stream had not brought."""
        if not self._rebuilds.note_missed(self._open[day], missed):
            raise TakenForDead

    def finish(self, day: date, rows: int) -> None:
        """Close the row of a day that was replaced."""
        if not self._rebuilds.finish(self._open[day], rows):
            raise TakenForDead
        del self._open[day]

    def give_up(self, day: date) -> None:
        """Close the row of a day that stays as it is."""
        settle_rebuild(self.warehouse, self._rebuilds, self._rebuilds.get(self._open[day]), self.table)
        del self._open[day]

    def _begin(self, day: date) -> int:
        """Enter the rebuild of a day. Waits for one that is under way, and settles one whose process is gone."""
        deadline = time.monotonic() + _ANOTHER_SECONDS
        while True:
            opened = self._rebuilds.begin(self.table_id, day, self.run_id)
            if opened is not None:
                return opened.number
            others = self._rebuilds.all_open(self.table_id, [day])
            self._wait_for(others, deadline)

    def _wait_for(self, others: Sequence[RebuildRow], deadline: float) -> None:
        for other in others:
            if other.run_id == self.run_id or self._silence.is_dead(other, SILENT_SECONDS, time.monotonic()):
                settle_rebuild(self.warehouse, self._rebuilds, other, self.table)
            elif time.monotonic() > deadline:
                raise EngagementError(
                    f"Run {other.run_id} has been rebuilding {other.day} for over an hour.",
                    "Look at that run; end it if it is stuck, and start this one again.",
                )
        time.sleep(_POLL_SECONDS)

    def _settle_live_loads(self) -> None:
        """See that no live load of the days is open: the stage finishes it, or it is completed here."""
        deadline = time.monotonic() + _LIVE_LOAD_SECONDS
        while loads := self.loads.open_loads(self.table_id, list(self._open)):
            if time.monotonic() > deadline:
                for load in loads:
                    settle_load(self.warehouse, self.loads, load, self.settings)
            time.sleep(_POLL_SECONDS)

    def _settle_own(self) -> None:
        for number in self._open.values():
            row = self._rebuilds.get(number)
            if row.state == "open":
                settle_rebuild(self.warehouse, self._rebuilds, row, self.table)


@contextmanager
def _beating(settings: Settings, rebuilds: dict[date, int]) -> Iterator[None]:
    """Give signs of life, from a thread while the block runs, for the rebuilds that are in the mapping by then."""
    beats = Rebuilds(Session(settings, "rebuild-beat"))

    def beat() -> None:
        beats.beat(rebuilds.copy().values())

    with Repeated("rebuild-beat", beat, BEAT_SECONDS, log=log, at_end=beats.close, patience=BEAT_SECONDS):
        yield
