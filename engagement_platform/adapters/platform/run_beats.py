"""The heartbeats of the processes that work on runs of the warehouse, as rows in the platform's database."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store

_SQL = sql.load(__package__, "run_beats.sql")


@dataclass(frozen=True, slots=True)
class AtWork:
    """A run that has neither ended nor been given up."""

    run_id: str
    job: str
    subject: str
    """The days it works on; empty for a run without days."""
    host: str
    pid: int
    begun_at: datetime
    silent_seconds: float
    """Since its last heartbeat."""


class RunBeats(Store):
    """The table of heartbeats."""

    def beat(self, run_id: str, job: str, subject: str) -> bool:
        """Give a sign of life for the run that this process works on; return False when the run was given up."""
        process = {"host": socket.gethostname(), "pid": os.getpid()}
        row = self.session.one(_SQL["beat"], run_id=run_id, job=job, subject=subject, **process)
        return row is not None and not row["given_up"]

    def end(self, run_id: str) -> None:
        """Note that the process has finished its work on the run."""
        self.session.execute(_SQL["end"], run_id=run_id)

    def look(self, run_ids: Sequence[str]) -> tuple[datetime, dict[str, datetime | None]]:
        """Return the database's time and the last heartbeat of each run, None for a run that never gave one."""
        with self.session.transaction():
            (now,) = self.session.all(_SQL["now"])
            statements = [_SQL["beats"], *(self._of_loops(row["stream"]) for row in self.session.all(_SQL["streams"]))]
            rows = [row for statement in statements for row in self.session.all(statement, run_ids=list(run_ids))]
        beats = {row["run_id"]: row["beat_at"] for row in rows}
        return now["now"], {run_id: beats.get(run_id) for run_id in run_ids}

    @staticmethod
    def _of_loops(stream: str) -> str:
        return sql.filled(_SQL["beats_of_loops"], {"stream": sql.identifier(stream)})

    def give_up(self, run_id: str, job: str, beat_at: datetime | None) -> bool:
        """Give a run up whose last heartbeat was at `beat_at`; return False when it has beaten since."""
        return self.session.one(_SQL["give_up"], run_id=run_id, job=job, beat_at=beat_at) is not None

    def close_others(self, run_ids: Sequence[str], silent_seconds: float) -> None:
        """Note the end of the silent runs that are none of these: Dagster knows that they have ended."""
        self.session.execute(_SQL["close_others"], run_ids=list(run_ids), silent_seconds=silent_seconds)

    def at_work(self) -> list[AtWork]:
        """Return the runs that have neither ended nor been given up, the longest at work first."""
        return self.session.objects(AtWork, _SQL["at_work"])

    def prune(self, hours: int) -> None:
        """Forget the runs that have been silent for longer than `hours`."""
        self.session.execute(_SQL["prune"], hours=hours)
