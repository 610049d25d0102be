"""The backfills that were asked for through this process: each is started by a thread, and told of until it ends.

Starting one takes Dagster some seconds, so whoever asks gets a job at once, and looks at it again. It is recorded who
asked for which days before anything is started; where that cannot be recorded, nothing is. Jobs are kept for a day, or
until the process ends: the backfills themselves are Dagster's and go on.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from engagement_platform.adapters.platform.audit import Audit, Outcome
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.days import consecutive
from engagement_platform.domain.errors import EngagementError
from engagement_platform.settings import Settings, about

KEPT_SECONDS = 86_400.0
MOST_DAYS = 1_000
"""So many days are asked for at once, at most."""
_MOST_JOBS = 1_000


class JobState(StrEnum):
    """How far asking Dagster is."""

    STARTING = "starting"
    STARTED = "started"
    """Dagster has the backfill, and takes it up by itself."""
    FAILED = "failed"
    """It was not started."""


@dataclass(frozen=True, slots=True)
class Job:
    """One backfill that was asked for."""

    id: str
    stream: str
    days: tuple[date, ...]
    who: str
    asked_at: datetime
    allow_removal: bool = False
    state: JobState = JobState.STARTING
    backfill_id: str | None = None
    """Dagster's name of it."""
    fault: str = ""
    """Why it was not started, and what to do."""


class OtherRequest(Exception):
    """The key was used before, for something else."""


Launch = Callable[[Settings, Sequence[date], str, bool], str]
"""Starts a backfill of days for somebody, with the right to remove rows or without; returns Dagster's id of it."""


def launch(settings: Settings, days: Sequence[date], who: str, allow_removal: bool) -> str:
    """Start a backfill of all tables of the stream. Dagster is imported here and not before. Raises EngagementError."""
    from engagement_platform.console.stale import instance, tables_of
    from engagement_platform.domain.removal import TAG
    from engagement_platform.orchestration.warehouse import backfill

    with instance() as dagster:
        backfill.require_daemon(dagster)
    tags = {"engagement/started_by": who[:200], **({TAG: "true"} if allow_removal else {})}
    return backfill.start(tables_of(settings), days, f"the page, for {who}", tags=tags)


@dataclass
class Backfills:
    """Starts backfills, and knows those that it has started."""

    launch: Launch = launch
    _jobs: dict[str, Job] = field(default_factory=dict)
    """The oldest first."""
    _keys: dict[str, str] = field(default_factory=dict)
    """Key of a request -> id of its job."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(
        self, settings: Settings, days: Sequence[date], who: str, *, key: str | None = None, allow_removal: bool = False
    ) -> Job:
        """Begin to start a backfill; a request that comes again with its key gets the job that it has.

        Raises Unavailable where it cannot be recorded, and OtherRequest.
        """
        asked = Job(
            secrets.token_hex(8), settings.stream, tuple(sorted(set(days))), who, datetime.now(UTC), allow_removal
        )
        with self._lock:
            known = self._known(key, asked)
            if known is not None:
                return known
            self._keep(asked, key)
        noted = ExitStack()
        try:
            outcome, at = noted.enter_context(_recorded(settings, asked))
        except BaseException:
            self._forget(asked, key)
            raise
        asked = replace(asked, asked_at=at)
        self._note(asked)
        thread = threading.Thread(target=self._start, args=(settings, asked, noted, outcome), name="page-backfill")
        thread.daemon = True
        thread.start()
        return asked

    def get(self, job_id: str) -> Job | None:
        """Return a job; None for one that there is not."""
        return self._jobs.get(job_id)

    def latest(self, stream: str | None = None) -> list[Job]:
        """Return the jobs, of a stream or of all; the newest first."""
        with self._lock:
            jobs = list(reversed(self._jobs.values()))
        return [job for job in jobs if stream in (None, job.stream)]

    def _known(self, key: str | None, asked: Job) -> Job | None:
        known = self._jobs.get(self._keys.get(key or "", ""))
        if known is None:
            return None
        if (known.stream, known.days, known.allow_removal) != (asked.stream, asked.days, asked.allow_removal):
            raise OtherRequest
        return known

    def _keep(self, job: Job, key: str | None) -> None:
        since = datetime.fromtimestamp(time.time() - KEPT_SECONDS, UTC)
        recent = [one for one in self._jobs.values() if one.asked_at > since][-_MOST_JOBS + 1 :]
        self._jobs = {one.id: one for one in (*recent, job)}
        self._keys = {name: job_id for name, job_id in self._keys.items() if job_id in self._jobs}
        if key is not None:
            self._keys[key] = job.id

    def _note(self, job: Job) -> None:
        """Note how far a job is, if it is not forgotten: others may be kept or left out at the same time."""
        with self._lock:
            if job.id in self._jobs:
                self._jobs[job.id] = job

    def _forget(self, job: Job, key: str | None) -> None:
        with self._lock:
            self._jobs.pop(job.id, None)
            self._keys.pop(key or "", None)

    def _start(self, settings: Settings, job: Job, noted: ExitStack, outcome: Outcome) -> None:
        try:
            with noted, about(settings.stream):
                backfill_id = self.launch(settings, job.days, job.who, job.allow_removal)
                outcome.text = f"started: backfill {backfill_id}"
                self._note(replace(job, state=JobState.STARTED, backfill_id=backfill_id))
        except Exception as error:
            if self._jobs.get(job.id, job).state is JobState.STARTING:  # else only its record could not be ended
                told = error if isinstance(error, EngagementError) else _own(error)
                self._note(replace(job, state=JobState.FAILED, fault=str(told)))


@contextmanager
def _recorded(settings: Settings, job: Job) -> Iterator[tuple[Outcome, datetime]]:
    """Note who asks for which days while the block starts it, and give it the time by the database's clock.

    Raises Unavailable before the block.
    """
    ensure_schema(settings)
    with Session(settings, "page") as session:
        days = [day.isoformat() for day in job.days]
        audit = Audit(session)
        with audit.recorded(job.who, "backfill", in_words(job.days), days=days, allow_removal=job.allow_removal) as one:
            (now,) = session.all("SELECT now() AS now")
            yield one, now["now"]


def _own(error: Exception) -> EngagementError:
    return EngagementError(f"The backfill could not be started ({type(error).__name__}).", "See the log of the page.")


def in_words(days: Sequence[date]) -> str:
    """Return days in short: the consecutive ones by their first and last."""
    runs = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in consecutive(days)]
    return ", ".join(runs)
