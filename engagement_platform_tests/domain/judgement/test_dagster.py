"""What is wrong as only Dagster knows it."""

from dataclasses import replace
from typing import Any

import pytest

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.dagster_facts import (
    Backfill,
    BackfillStatus,
    Check,
    CheckStatus,
    Daemon,
    DagsterFacts,
    FailedRun,
)
from engagement_platform.domain.judgement.dagster import KINDS, dagster_conditions

NOW = 1_000_000.0


def failed_run(run_id: str = "r1", job: str = "settle_day", day: str = "2026-01-01", **changed: Any) -> FailedRun:
    of = {"at": NOW - 60, "will_retry": False, **changed}
    return FailedRun(run_id, job, "engagement", day, **of)


def check(name: str = "same_rows_as_source", status: CheckStatus = CheckStatus.FAILED) -> Check:
    asset = "warehouse/engagement_events"
    return Check(asset, name, "engagement", status, True, NOW - 9, "2026-01-01", "r1", "3 rows are missing. See below.")


def backfill(status: BackfillStatus, ended_at: float = NOW - 60, name: str = "abc", repeats: str = "") -> Backfill:
    return Backfill(name, status, NOW - 600, ended_at, "a month", "the source is away", repeats=repeats)


def only(**facts: Any) -> Condition:
    (condition,) = dagster_conditions(DagsterFacts(NOW, streaming_jobs=["engagement_stream"], **facts))
    assert condition.kind in KINDS
    assert condition.what
    assert condition.means
    assert condition.todo
    return condition


def test_of_a_dagster_that_is_well_there_is_nothing() -> None:
    healthy = [Daemon("SENSOR", NOW, is_healthy=True)]
    facts = DagsterFacts(NOW, daemons=healthy, checks=[check(status=CheckStatus.SUCCEEDED)])
    assert dagster_conditions(facts) == []


def test_a_daemon_that_is_silent_is_critical_and_names_its_parts() -> None:
    silent = [Daemon("SENSOR", NOW - 99, is_healthy=False), Daemon("BACKFILL", None, is_healthy=False)]
    condition = only(daemons=silent)
    assert (condition.severity, condition.since) == (Severity.CRITICAL, NOW - 99)
    assert condition.what == "Dagster's daemon gives no sign of life: BACKFILL, SENSOR."
    assert "nobody launches the next one" in condition.means


def test_runs_that_failed_are_one_condition_for_their_job_however_many_days_it_was() -> None:
    condition = only(failed_runs=[failed_run("r2", day="2026-01-02"), failed_run("r1", at=NOW - 90)])
    assert (condition.subject, condition.since) == ("settle_day", NOW - 90)
    assert condition.what == "2 runs of settle_day failed, the last for 2026-01-02: r2."
    assert condition.page == "/runs/r2"
    assert only(failed_runs=[failed_run(day="")]).what == "A run of settle_day failed: r1."


@pytest.mark.parametrize("run", [failed_run(will_retry=True), failed_run(job="engagement_stream", day="")])
def test_a_run_that_is_launched_again_or_replaced_is_none(run: FailedRun) -> None:
    assert dagster_conditions(DagsterFacts(NOW, failed_runs=[run], streaming_jobs=["engagement_stream"])) == []


def test_a_backfill_that_failed_has_the_command_that_repeats_it() -> None:
    condition = only(backfills=[backfill(BackfillStatus.FAILED), backfill(BackfillStatus.COMPLETED)])
    assert condition.what == "The backfill abc (a month) failed: the source is away."
    assert condition.todo.endswith("engagement-platform backfill --retry abc")
    old = backfill(BackfillStatus.FAILED, NOW - 25 * 3_600)
    assert dagster_conditions(DagsterFacts(NOW, backfills=[old])) == []


def test_a_backfill_that_failed_is_over_when_one_that_repeats_it_is_done() -> None:
    first, done = backfill(BackfillStatus.FAILED), BackfillStatus.COMPLETED
    again = backfill(BackfillStatus.FAILED, name="again", repeats="abc")
    assert [one.subject for one in dagster_conditions(DagsterFacts(NOW, backfills=[again, first]))] == ["again", "abc"]
    assert dagster_conditions(DagsterFacts(NOW, backfills=[backfill(done, name="d", repeats="abc"), first])) == []
    third = backfill(done, name="third", repeats="again")
    assert dagster_conditions(DagsterFacts(NOW, backfills=[third, again, first])) == []
    other = backfill(done, name="other", repeats="xyz")
    assert only(backfills=[other, backfill(BackfillStatus.REQUESTED, name="goes", repeats="abc"), first])


def test_a_check_that_failed_says_what_it_says() -> None:
    condition = only(checks=[check()])
    assert condition.subject == "same_rows_as_source of warehouse/engagement_events"
    assert "failed for 2026-01-01: 3 rows are missing." in condition.what


@pytest.mark.parametrize(("number", "said"), [(1, ""), (2, " and 1 other day"), (4, " and 3 other days")])
def test_a_check_that_failed_for_several_days_is_one_condition_that_says_how_many(number: int, said: str) -> None:
    days = tuple(f"2026-01-0{day}" for day in range(1, number + 1))
    condition = only(checks=[replace(check(), failed_days=days)])
    assert f"failed for 2026-01-01{said}: 3 rows" in condition.what


def test_what_stops_the_stream_comes_first() -> None:
    facts = DagsterFacts(
        NOW,
        daemons=[Daemon("SENSOR", None, is_healthy=False)],
        failed_runs=[failed_run()],
        checks=[check()],
        backfills=[backfill(BackfillStatus.FAILED)],
    )
    assert [one.kind for one in dagster_conditions(facts)] == [
        Kind.DAEMON_SILENT,
        Kind.BACKFILL_FAILED,
        Kind.RUN_FAILED,
        Kind.CHECK_FAILED,
    ]
