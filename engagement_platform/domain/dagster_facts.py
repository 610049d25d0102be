"""What only Dagster knows, as it was at one look: runs, ticks, daemons, checks, backfills and days. Frozen values.

Times are in seconds since 1970, by the clocks of Dagster's processes. Every list is bounded, and says by what. `stream`
is the name of the stream that something belongs to; empty for what concerns all of them, or none that is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FAILED_WITHIN_SECONDS = 24 * 3600.0
"""What failed longer ago is no news."""
DAEMON_SILENT_SECONDS = 120.0
"""Four signs of life of a daemon are missing then. Dagster itself waits for half an hour."""
MOST_FAILED = 20
"""Of the runs and of the backfills that have failed, the latest."""
MOST_BACKFILLS = 25
"""How many of the latest backfills are looked at."""
_SAID_CHARACTERS = 300


def in_one_line(text: str) -> str:
    """Return the beginning of what Dagster says, without its line breaks."""
    return " ".join(text.split())[:_SAID_CHARACTERS]


class RunStatus(StrEnum):
    """What becomes of a run that has not ended, in the words of Dagster."""

    NOT_STARTED = "not_started"
    """It was made, and nobody has taken it up: for long, where its launch has failed."""
    QUEUED = "queued"
    STARTING = "starting"
    STARTED = "started"
    CANCELING = "canceling"


class Automation(StrEnum):
    """What asks for runs."""

    SENSOR = "sensor"
    SCHEDULE = "schedule"


class Tick(StrEnum):
    """What came of one look of a sensor or schedule."""

    STARTED = "started"
    """It has not ended."""
    SKIPPED = "skipped"
    """It asked for nothing."""
    SUCCESS = "success"
    """It asked for a run."""
    FAILURE = "failure"


class CheckStatus(StrEnum):
    """What came of an asset check."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Of one day at least, if it has days: the last time that it looked at it."""
    PLANNED = "planned"
    """It is to come, or its run has ended without it; and of no day it is known that it failed."""


class BackfillStatus(StrEnum):
    """How a backfill stands."""

    REQUESTED = "requested"
    CANCELING = "canceling"
    FAILING = "failing"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"
    """The backfill, or a run of it."""


class DayStatus(StrEnum):
    """What Dagster has of one day of a table."""

    MISSING = "missing"
    MATERIALIZED = "materialized"
    """By a rebuild, or by what the stream has brought."""
    FAILED = "failed"
    """Its last run failed. It may hold what an earlier one has made."""
    IN_PROGRESS = "in_progress"


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs that have one status."""

    status: RunStatus
    number: int
    oldest_seconds: float | None
    """Since when the oldest of them is in the list of runs; None where there is none."""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that failed, and that no later run of the same job and days has made good."""

    run_id: str
    job: str
    stream: str
    subject: str
    """The days that it was for, if any."""
    at: float
    will_retry: bool
    """Whether Dagster launches it again."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """One sensor or schedule: whether it is on, and its last tick."""

    name: str
    kind: Automation
    stream: str
    is_on: bool
    at: float | None
    """When its last tick began; None where it never ticked."""
    outcome: Tick | None
    reason: str = ""
    """Why the last tick failed."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """One of the parts of Dagster's daemon, of those that this instance needs."""

    name: str
    """As Dagster writes it: SENSOR, SCHEDULER, BACKFILL, QUEUED_RUN_COORDINATOR."""
    at: float | None
    """When it last gave a sign of life."""
    is_healthy: bool
    """Whether that is recent: see `DAEMON_SILENT_SECONDS`."""


@dataclass(frozen=True, slots=True)
class Check:
    """The last outcome of an asset check."""

    asset: str
    """The asset's key, its parts joined by /."""
    name: str
    stream: str
    status: CheckStatus
    is_error: bool
    """Whether a failure is an error; else it is a warning."""
    at: float | None
    partition: str
    """The day it was for; empty without days. Of several that failed the one that was looked at last."""
    run_id: str
    description: str
    failed_days: tuple[str, ...] = ()
    """The days that failed when they were last looked at, ascending; at most `MOST_FAILED`."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill of days."""

    backfill_id: str
    status: BackfillStatus
    begun_at: float
    ended_at: float | None
    title: str
    error: str
    """Why it failed as a whole; empty where only runs of it have."""
    repeats: str = ""
    """The id of the backfill whose days it does again; empty for one that stands by itself."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in (BackfillStatus.COMPLETED, BackfillStatus.CANCELED, BackfillStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one table."""

    status: DayStatus
    is_stale: bool = False
    """Whether another formula than that of now has made it."""
    failed_checks: tuple[str, ...] = ()
    """The names of the checks that failed when they last looked at it."""


@dataclass(frozen=True, slots=True)
class Table:
    """The days of one table of the warehouse, as Dagster has them."""

    name: str
    stream: str
    asset: str
    days: Mapping[str, Day]
    """Day, as 2026-11-27, -> what is known of it, for each day that Dagster knows, ascending."""

    def in_status(self, status: DayStatus) -> list[str]:
        """Return the days with a status, ascending."""
        return [day for day, known in self.days.items() if known.status is status]

    @property
    def stale(self) -> list[str]:
        """Return the days that another formula has made, ascending."""
        return [day for day, known in self.days.items() if known.is_stale]

    @property
    def failed_checks(self) -> list[str]:
        """Return the days of which a check failed when it last looked, ascending."""
        return [day for day, known in self.days.items() if known.failed_checks]


@dataclass(frozen=True, slots=True)
class DagsterFacts:
    """All that a look at Dagster told."""

    at: float
    """When it was."""
    runs: Sequence[Runs] = ()
    """One for each status."""
    failed_runs: Sequence[FailedRun] = ()
    """Of the last day, the latest first; at most `MOST_FAILED`. Of those that stream none: the lease tells of them."""
    ticks: Sequence[Ticks] = ()
    """Of the code location's sensors and schedules, by name."""
    daemons: Sequence[Daemon] = ()
    checks: Sequence[Check] = ()
    """Each that has ever been evaluated or planned, by asset and name."""
    backfills: Sequence[Backfill] = ()
    """The latest `MOST_BACKFILLS`, the newest first."""
    tables: Sequence[Table] = ()
    """Empty where nobody has asked for the days: they cost more than all else."""
    streams: Sequence[str] = ()
    """The streams whose definitions were looked at."""
    streaming_jobs: Sequence[str] = ()
    """The jobs whose runs stream: what has become of one of them the lease tells."""

    @property
    def queue(self) -> int:
        """How many runs wait in the queue."""
        return sum(runs.number for runs in self.runs if runs.status is RunStatus.QUEUED)

    @property
    def failed_checks(self) -> list[Check]:
        """The checks that failed when they were last evaluated, for any day."""
        return [check for check in self.checks if check.status is CheckStatus.FAILED]

    @property
    def silent_daemons(self) -> list[Daemon]:
        """The parts of the daemon that give no sign of life."""
        return [daemon for daemon in self.daemons if not daemon.is_healthy]

    @property
    def runs_to_mend(self) -> list[FailedRun]:
        """The runs that failed and that somebody has to look at: nobody launches them again, or another one."""
        return [run for run in self.failed_runs if run.job not in self.streaming_jobs and not run.will_retry]

    def failed_backfills(self, now: float) -> list[Backfill]:
        """Return the backfills that failed within the last day, the newest first; at most `MOST_FAILED`.

        One is left out when a backfill that repeats it, or one that repeats that, has done what it left.
        """
        mended = self._mended()
        failed = [
            one for one in self.backfills if one.status is BackfillStatus.FAILED and one.backfill_id not in mended
        ]
        return [one for one in failed if now - (one.ended_at or one.begun_at) < FAILED_WITHIN_SECONDS][:MOST_FAILED]

    def _mended(self) -> set[str]:
        """Return the ids of the backfills whose days another one has done again."""
        mended: set[str] = set()
        for one in self.backfills:  # the newest first, and a repetition is newer than what it repeats
            if one.repeats and (one.status is BackfillStatus.COMPLETED or one.backfill_id in mended):
                mended.add(one.repeats)
        return mended
