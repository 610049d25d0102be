"""Reads what only Dagster knows from its instance, as the frozen values of `domain.dagster_facts`.

A look is a bounded number of small queries, whatever Dagster has kept: one each for the runs that have not ended, those
that failed, daemons, checks and backfills. Each takes a connection of its own, as Dagster's storage has no pool. What
is one query for each sensor and schedule, for each check, or for each table, is read more seldom.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

import dagster as dg

from engagement_platform.domain import dagster_facts as facts
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration import private
from engagement_platform.orchestration.check_facts import CheckFacts
from engagement_platform.orchestration.day_facts import DayFacts, tables_of
from engagement_platform.orchestration.keeps_up import OF_LOOPS
from engagement_platform.orchestration.living import DAY_TAGS, subject_of
from engagement_platform.orchestration.location import definitions_of
from engagement_platform.orchestration.runs import WILL_RETRY
from engagement_platform.orchestration.sensors import LAUNCHED_AT
from engagement_platform.orchestration.stream_job import job_names
from engagement_platform.orchestration.warehouse.backfill import is_done

TICKS_SECONDS = 30.0
"""How old what is told of the ticks may be."""
DAYS_SECONDS = 60.0
"""How old what is told of the days may be."""

_ANY_ZONE = 15 * 3600.0
"""By how many seconds Dagster's note of a time may be off: it depends on the time zone of the session."""
_MOST_RUNS = 500
"""That have not ended: of more, only the oldest are read, and the others are counted."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: what the code location defines, each with the name of its stream, or with none."""

    streams: Sequence[str]
    jobs: Mapping[str, str]
    automations: Mapping[str, str]
    """Sensors and schedules."""
    checks: Mapping[dg.AssetCheckKey, str]
    tables: Sequence[tuple[str, dg.AssetSpec]]
    """Of the warehouse."""
    graph: private.AssetGraph
    """All assets."""


def watched_of(streams: Sequence[EventStream], shared: dg.Definitions) -> Watched:
    """Return what these streams have, and what all of them share."""
    parts = {"": shared, **{stream.name: definitions_of(stream) for stream in streams}}
    return Watched(
        streams=[stream.name for stream in streams],
        jobs={job.name: name for name, part in parts.items() for job in part.jobs or ()},
        automations={
            one.name: name for name, part in parts.items() for one in (*(part.sensors or ()), *(part.schedules or ()))
        },
        checks={
            key: name
            for name, part in parts.items()
            for key in private.asset_graph(part).asset_check_keys
            if key.name not in OF_LOOPS  # they repeat what is wrong with the loops, which is known without them
        },
        tables=[(stream.name, spec) for stream in streams for spec in tables_of(stream)],
        graph=private.asset_graph(dg.Definitions.merge(*parts.values())),
    )


_T = TypeVar("_T")


@dataclass(slots=True)
class _Kept(Generic[_T]):
    """What is read seldom."""

    seconds: float
    value: _T | None = None
    at: float = 0.0

    def now(self, now: float, read: Callable[[], _T]) -> _T:
        """Return it, read anew where it is too old."""
        if self.value is None or not 0.0 <= now - self.at < self.seconds:
            self.value, self.at = read(), now
        return self.value


@dataclass(eq=False)
class FactsReader:
    """Looks at one instance of Dagster, again and again. For one thread."""

    instance: dg.DagsterInstance
    watched: Watched

    def __post_init__(self) -> None:
        self._days = DayFacts(self.instance, self.watched.tables, list(self.watched.checks))
        self._checks = CheckFacts(self.instance, self.watched.checks)
        self._tables = _Kept[Sequence[facts.Table]](DAYS_SECONDS)
        self._last_ticks = _Kept[Sequence[facts.Ticks]](TICKS_SECONDS)
        self._truly_failed: dict[str, bool] = {}

    def read(self, now: float | None = None, *, days: bool = True) -> DagsterFacts:
        """Look at everything; at the ticks twice a minute at most, at the days once, where they are asked for.

        `now` is in seconds since 1970. Raises Unavailable when Dagster's storage does not answer.
        """
        now = time.time() if now is None else now
        with _explained():
            return DagsterFacts(
                at=now,
                runs=_unfinished(self.instance, now),
                failed_runs=self._failed_runs(now),
                ticks=self._last_ticks.now(now, self._ticks),
                daemons=_daemons(self.instance, now),
                checks=self._checks.read(now),
                backfills=self._backfills(),
                tables=self._tables.now(now, self._days.read) if days else (),
                streams=self.watched.streams,
                streaming_jobs=sorted(self._streaming()),
            )

    def _streaming(self) -> set[str]:
        return {job for stream in self.watched.streams for job in job_names(stream)}

    def _failed_runs(self, now: float) -> list[facts.FailedRun]:
        since = now - facts.FAILED_WITHIN_SECONDS
        made_good: dict[tuple[str, str], float] = {}  # by job and days, so that each is asked for once
        failed: list[facts.FailedRun] = []
        for record in self._failures(since):
            run, at = record.dagster_run, record.end_time or 0.0
            which = (run.job_name, subject_of(run.tags))
            if at >= since and which not in made_good:
                made_good[which] = _last_success(self.instance, record)
            if at >= since and made_good[which] < at:
                failed.append(self._as_failed(run, at))
            if len(failed) == facts.MOST_FAILED:
                break
        return failed

    def _failures(self, since: float) -> list[dg.RunRecord]:
        """Return runs that failed, the latest first, but for those that stream: these are replaced.

        Where they are many each job is asked for its own, so that one that fails again and again hides no other.
        """
        updated_after = datetime.fromtimestamp(since - _ANY_ZONE, UTC)
        streaming = self._streaming()

        def latest(job: str | None = None) -> Sequence[dg.RunRecord]:
            chosen = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=updated_after)
            return self.instance.get_run_records(chosen, limit=facts.MOST_FAILED)

        failed = latest()
        if len(failed) == facts.MOST_FAILED:
            jobs = {*self.watched.jobs, private.OF_ASSETS} - streaming
            failed = [record for job in jobs for record in latest(job)]
        others = [record for record in failed if record.dagster_run.job_name not in streaming]
        return sorted(others, key=lambda record: record.storage_id, reverse=True)

    def _as_failed(self, run: dg.DagsterRun, at: float | None) -> facts.FailedRun:
        return facts.FailedRun(
            run.run_id,
            run.job_name,
            self.watched.jobs.get(run.job_name, ""),
            subject_of(run.tags),
            at or 0.0,
            will_retry=run.tags.get(WILL_RETRY) == "true",
        )

    def _backfills(self) -> list[facts.Backfill]:
        latest = [_as_backfill(one) for one in private.latest_backfills(self.instance, facts.MOST_BACKFILLS)]
        failed = {one.backfill_id for one in latest if one.status is facts.BackfillStatus.FAILED}
        self._truly_failed = {name: self._has_failed(name) for name in failed}
        done = facts.BackfillStatus.COMPLETED
        return [
            replace(one, status=done) if not self._truly_failed.get(one.backfill_id, True) else one for one in latest
        ]

    def _has_failed(self, backfill_id: str) -> bool:
        """Return whether a backfill that Dagster calls failed has left anything undone; asked once for each."""
        known = self._truly_failed.get(backfill_id)
        if known is not None:
            return known
        try:
            return not is_done(self.instance, self.watched.graph, backfill_id)
        except EngagementError:  # of other tables or days than there are now: it stays what Dagster calls it
            return True

    def _ticks(self) -> list[facts.Ticks]:
        automations = self.watched.automations
        ticks = [
            facts.Ticks(
                name=tick.name,
                kind=facts.Automation(tick.kind.lower()),
                stream=automations[tick.name],
                is_on=tick.is_on,
                at=tick.at,
                outcome=facts.Tick(tick.outcome.lower()) if tick.outcome else None,
                reason=facts.in_one_line(tick.error),
            )
            for tick in private.last_ticks(self.instance, automations)
        ]
        return sorted(ticks, key=lambda tick: tick.name)


def _unfinished(instance: dg.DagsterInstance, now: float) -> list[facts.Runs]:
    """Return the runs that have not ended, by status."""
    chosen = dg.RunsFilter(statuses=list(_STATUSES))
    records = instance.get_run_records(chosen, limit=_MOST_RUNS, ascending=True)
    ages: dict[facts.RunStatus, list[float]] = {status: [] for status in facts.RunStatus}
    for record in records:
        ages[_STATUSES[record.dagster_run.status]].append(max(0.0, now - _begun(record)))
    numbers = {status: len(some) for status, some in ages.items()}
    if len(records) == _MOST_RUNS:
        numbers = {
            status: private.count_runs(instance, dg.RunsFilter(statuses=[of_dagster]))
            for of_dagster, status in _STATUSES.items()
        }
    return [facts.Runs(status, numbers[status], max(some, default=None)) for status, some in ages.items()]


def _begun(record: dg.RunRecord) -> float:
    """Return since when a run is there. Dagster's own note of it depends on the time zone of its session."""
    launched_at = record.dagster_run.tags.get(LAUNCHED_AT)
    if launched_at:
        return datetime.fromisoformat(launched_at).timestamp()
    return record.start_time or record.create_timestamp.timestamp()


def _last_success(instance: dg.DagsterInstance, failed: dg.RunRecord) -> float:
    """Return when a run of the same job and days last succeeded; 0 for never."""
    run = failed.dagster_run
    days = {tag: value for tag, value in run.tags.items() if tag in DAY_TAGS}
    same = dg.RunsFilter(job_name=run.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], tags=days)
    return max((record.end_time or 0.0 for record in instance.get_run_records(same, limit=1)), default=0.0)


_STATUSES = {dg.DagsterRunStatus[status.name]: status for status in facts.RunStatus}
_BACKFILLS = {
    "REQUESTED": facts.BackfillStatus.REQUESTED,
    "CANCELING": facts.BackfillStatus.CANCELING,
    "FAILING": facts.BackfillStatus.FAILING,
    "COMPLETED": facts.BackfillStatus.COMPLETED,
    "COMPLETED_SUCCESS": facts.BackfillStatus.COMPLETED,
    "CANCELED": facts.BackfillStatus.CANCELED,
    "FAILED": facts.BackfillStatus.FAILED,
    "COMPLETED_FAILED": facts.BackfillStatus.FAILED,
}


def _as_backfill(one: private.Backfill) -> facts.Backfill:
    status = _BACKFILLS[one.status]
    error = facts.in_one_line(one.error or "")
    return facts.Backfill(one.backfill_id, status, one.begun_at, one.ended_at, one.title, error, repeats=one.repeats)


def _daemons(instance: dg.DagsterInstance, now: float) -> list[facts.Daemon]:
    return [
        facts.Daemon(name, at, is_healthy=healthy and at is not None and now - at <= facts.DAEMON_SILENT_SECONDS)
        for name, (at, healthy) in sorted(private.daemons(instance).items())
    ]


@contextmanager
def _explained() -> Iterator[None]:
    """Raise Unavailable for whatever Dagster's storage raises: it is of many kinds, and none of them is documented."""
    try:
        yield
    except Exception as error:
        said = facts.in_one_line(str(error))
        raise Unavailable(
            f"Dagster's storage does not answer: {type(error).__name__}: {said}.",
            "Start the database that ENGAGEMENT_PLATFORM_DSN names.",
            server="Dagster's storage",
        ) from error
