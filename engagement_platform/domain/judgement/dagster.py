"""What is wrong as only Dagster knows it: its daemon, runs, backfills and checks. Facts in, conditions out.

What is judged by the stream's own facts is left out: a run of the stream that fails is replaced. The checks that say of
a loop what `judgement.stream` says already are not read.
"""

from collections.abc import Collection, Iterator

from engagement_platform.domain.conditions import Condition, Kind, Severity, by_importance
from engagement_platform.domain.dagster_facts import Backfill, Check, DagsterFacts, FailedRun
from engagement_platform.domain.errors import EngagementError

KINDS = frozenset({Kind.DAEMON_SILENT, Kind.RUN_FAILED, Kind.BACKFILL_FAILED, Kind.CHECK_FAILED})
"""What can be seen only where Dagster's facts can be read."""


def dagster_conditions(facts: DagsterFacts) -> list[Condition]:
    """Return what is wrong, the most important first."""
    return by_importance(
        [
            *_daemons(facts),
            *(_backfill(one) for one in facts.failed_backfills(facts.at)),
            *_runs(facts.runs_to_mend),
            *(_check(one) for one in facts.failed_checks),
        ]
    )


def unreadable_dagster(error: EngagementError, now: float) -> Condition:
    """Return the condition of a Dagster of which nobody can tell how it stands; `now` in seconds since 1970."""
    return Condition(
        Kind.DAGSTER_UNREADABLE,
        Severity.WARNING,
        "",
        "",
        now,
        f"Dagster cannot be read. {error.what.rstrip('.')}.",
        "Whether its daemon lives, and which runs, backfills and checks have failed, is not known. The stream goes on.",
        error.todo or "See that the database that ENGAGEMENT_PLATFORM_DSN names answers.",
        form="dagster_unreadable",
        values={"reason": error.what},
    )


def _daemons(facts: DagsterFacts) -> Iterator[Condition]:
    silent = facts.silent_daemons
    if not silent:
        return
    names = ", ".join(sorted(daemon.name for daemon in silent))
    yield Condition(
        Kind.DAEMON_SILENT,
        Severity.CRITICAL,
        "",
        "",
        max((daemon.at for daemon in silent if daemon.at is not None), default=facts.at),
        f"Dagster's daemon gives no sign of life: {names}.",
        "The run that streams goes on until its lease ends, and nobody launches the next one. No schedule, sensor or "
        "backfill goes on.",
        "Start it: dagster dev, or dagster-daemon run, with DAGSTER_HOME set.",
        form="daemon_silent",
        values={"daemons": names},
    )


def _runs(runs: Collection[FailedRun]) -> Iterator[Condition]:
    """Yield one condition for each job, however many of its days failed: the latest failure, since the first."""
    of_job: dict[str, list[FailedRun]] = {}
    for run in sorted(runs, key=lambda run: run.at):
        of_job.setdefault(run.job, []).append(run)
    for job, failed in of_job.items():
        last = failed[-1]
        days = f" for {last.subject}" if last.subject else ""
        many = (
            f"{len(failed)} runs of {job} failed, the last{days}" if len(failed) > 1 else f"A run of {job} failed{days}"
        )
        yield Condition(
            Kind.RUN_FAILED,
            Severity.WARNING,
            last.stream,
            job,
            failed[0].at,
            f"{many}: {last.run_id}.",
            "What it was to make is as it was before. The stream goes on.",
            "See the run in Dagster for the reason; when it is mended, launch it again there. It is over with a run "
            "that succeeds for the same days, or after a day.",
            f"/runs/{last.run_id}",
            form="run_failed",
            values={"run": last.run_id, "job": job, "days": last.subject, "number": str(len(failed))},
        )


def _backfill(backfill: Backfill) -> Condition:
    why = f": {backfill.error.splitlines()[0]}" if backfill.error.strip() else ""
    named = f"The backfill {backfill.backfill_id}" + (f" ({backfill.title})" if backfill.title else "")
    return Condition(
        Kind.BACKFILL_FAILED,
        Severity.WARNING,
        "",
        backfill.backfill_id,
        backfill.ended_at or backfill.begun_at,
        f"{named} failed{why.rstrip('.')}.",
        "Days that it has not rebuilt are as they were before. The stream goes on.",
        "See its runs in Dagster. It is over when one that repeats it is done, or after a day. To repeat it: "
        f"engagement-platform backfill --retry {backfill.backfill_id}",
        "/days",
        form="backfill_failed",
        values={"backfill": backfill.backfill_id, "reason": backfill.error},
    )


def _check(check: Check) -> Condition:
    subject = f"{check.name} of {check.asset}"
    day = f" for {check.partition}" if check.partition else ""
    others = len(check.failed_days) - 1
    if others > 0:
        day += f" and {others} other day{'s' if others > 1 else ''}"
    said = f": {check.description.splitlines()[0].rstrip('.')}" if check.description.strip() else ""
    return Condition(
        Kind.CHECK_FAILED,
        Severity.WARNING,
        check.stream,
        subject,
        check.at or 0.0,
        f"The check {subject} failed{day}{said}.",
        "What it looked at is not as it should be; the check's text says what that means. The stream goes on.",
        "docs/errors.md has each check with its remedy. It is over when the check succeeds, for each day that failed.",
        "/days",
        form="check_failed",
        values={"check": check.name, "asset": check.asset, "day": check.partition, "reason": check.description},
    )
