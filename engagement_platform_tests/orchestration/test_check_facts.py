"""How an asset check stands, whatever Dagster has noted of it last: a plan, a dead run, or another day's outcome."""

import time
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned

from engagement_platform.definitions import definitions
from engagement_platform.domain.dagster_facts import MOST_FAILED, Check, CheckStatus
from engagement_platform.domain.reconciliation import Findings, Ids
from engagement_platform.orchestration import private
from engagement_platform.orchestration.check_facts import AGAIN_SECONDS, CheckFacts
from engagement_platform.orchestration.warehouse.checks import properties_of, result
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform_tests.streams import PACKAGED

PLANS_NOTHING = definitions.resolve_job_def("prune_engagement_stream_runs")
EVENTS = events_key(PACKAGED)
SAME_ROWS = properties_of(PACKAGED)[0]
KEY = dg.AssetCheckKey(EVENTS, SAME_ROWS.name)
DAYS_KNOWN = dg.AssetCheckKey(EVENTS, "days_known")
MONDAY, TUESDAY, WEDNESDAY = "2026-01-05", "2026-01-06", "2026-01-07"


@pytest.fixture
def instance(kept_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return kept_instance


@pytest.fixture
def facts(instance: dg.DagsterInstance) -> CheckFacts:
    return CheckFacts(instance, {KEY: PACKAGED.name, DAYS_KNOWN: PACKAGED.name})


def begin(instance: dg.DagsterInstance, key: dg.AssetCheckKey, *days: str) -> dg.DagsterRun:
    """Let a run begin that is to make a check."""
    run = instance.create_run_for_job(PLANS_NOTHING, status=dg.DagsterRunStatus.STARTED)
    known = dg.DailyPartitionsDefinition("2026-01-01").subset_with_partition_keys(days).to_serializable_subset()
    plan = AssetCheckEvaluationPlanned(
        asset_key=key.asset_key, check_name=key.name, partitions_subset=known if days else None
    )
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value
    event = dg.DagsterEvent(kind, job_name=run.job_name, event_specific_data=plan)
    instance.report_dagster_event(event, run_id=run.run_id)
    return run


def compare(instance: dg.DagsterInstance, *days: str, missing: Collection[str] = ()) -> Callable[[], None]:
    """Let a run compare days; return what lets it tell what came of it, as Dagster tells it of the run's steps."""
    run = begin(instance, KEY, *days)
    found = [Findings(date.fromisoformat(day), 9, 9, missing=Ids(int(day in missing))) for day in days]
    told = result(PACKAGED, SAME_ROWS, found)
    evaluation = dg.AssetCheckEvaluation(
        asset_key=EVENTS,
        check_name=KEY.name,
        passed=told.passed,
        metadata=told.metadata,
        severity=told.severity,
        description=told.description,
        partition=days[0] if len(days) == 1 else None,
    )
    return lambda: private.report_check(instance, run, evaluation)


def only(facts: CheckFacts) -> Check:
    (check,) = facts.read(time.time())
    return check


def test_a_run_that_begins_ends_no_failure_and_one_that_dies_before_the_check_does_not_either(
    instance: dg.DagsterInstance, facts: CheckFacts
) -> None:
    compare(instance, MONDAY, missing=[MONDAY])()
    again = compare(instance, MONDAY)
    assert (only(facts).status, only(facts).partition) == (CheckStatus.FAILED, MONDAY)
    begin(instance, KEY, TUESDAY)
    check = only(facts)
    assert (check.status, check.partition, check.is_error) == (CheckStatus.FAILED, MONDAY, True)
    assert check.description.startswith(f"{MONDAY}: 1 missing")
    again()
    assert only(facts).status is not CheckStatus.FAILED


def test_of_a_check_without_days_it_is_the_same(instance: dg.DagsterInstance, facts: CheckFacts) -> None:
    def tell(run: dg.DagsterRun, *, passed: bool) -> None:
        evaluation = dg.AssetCheckEvaluation(asset_key=EVENTS, check_name="days_known", passed=passed, metadata={})
        private.report_check(instance, run, evaluation)

    assert not facts.read(time.time())
    first = begin(instance, DAYS_KNOWN)
    assert only(facts).status is CheckStatus.PLANNED
    tell(first, passed=False)
    second = begin(instance, DAYS_KNOWN)
    begin(instance, DAYS_KNOWN)
    assert only(facts).status is CheckStatus.FAILED
    tell(second, passed=True)
    assert only(facts).status is not CheckStatus.FAILED


def test_a_success_for_another_day_ends_no_failure(instance: dg.DagsterInstance, facts: CheckFacts) -> None:
    compare(instance, MONDAY, missing=[MONDAY])()
    compare(instance, TUESDAY)()
    assert only(facts).failed_days == (MONDAY,)
    compare(instance, WEDNESDAY, missing=[WEDNESDAY])()
    assert (only(facts).partition, only(facts).failed_days) == (WEDNESDAY, (MONDAY, WEDNESDAY))
    compare(instance, MONDAY)()
    assert only(facts).failed_days == (WEDNESDAY,)
    compare(instance, WEDNESDAY)()
    assert (only(facts).status, only(facts).failed_days) == (CheckStatus.SUCCEEDED, ())


def test_a_run_over_many_days_ends_the_failures_of_its_days_and_tells_which_failed(
    instance: dg.DagsterInstance, facts: CheckFacts
) -> None:
    compare(instance, MONDAY, missing=[MONDAY])()
    compare(instance, MONDAY, TUESDAY, WEDNESDAY, missing=[TUESDAY, WEDNESDAY])()
    assert only(facts).failed_days == (TUESDAY, WEDNESDAY)
    compare(instance, WEDNESDAY)()
    compare(instance, "2026-01-08", "2026-01-09")()
    assert only(facts).failed_days == (TUESDAY,)
    compare(instance, MONDAY, TUESDAY)()
    assert only(facts).status is CheckStatus.SUCCEEDED


def test_what_is_told_late_by_a_run_that_was_planned_before_others_is_seen(
    instance: dg.DagsterInstance, facts: CheckFacts
) -> None:
    slow = compare(instance, MONDAY, missing=[MONDAY])
    compare(instance, TUESDAY)()
    now = time.time()
    assert facts.read(now)[0].status is CheckStatus.SUCCEEDED
    slow()
    (check,) = facts.read(now + AGAIN_SECONDS)
    assert check.failed_days == (MONDAY,)


def test_of_more_days_than_are_told_the_others_follow(instance: dg.DagsterInstance, facts: CheckFacts) -> None:
    days = [str(date(2026, 1, 1) + timedelta(days=number)) for number in range(MOST_FAILED + 2)]
    for day in days:
        compare(instance, day, missing=[day])()
    assert only(facts).failed_days == tuple(days[2:])
    compare(instance, *days[2:])()
    assert only(facts).failed_days == tuple(days[:2])
    compare(instance, *days[:2])()
    assert only(facts).status is CheckStatus.SUCCEEDED


def test_a_check_of_which_nothing_new_is_noted_is_one_query_for_all(
    instance: dg.DagsterInstance, facts: CheckFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(instance, MONDAY, missing=[MONDAY])()
    now = time.time()
    facts.read(now)
    asked: list[str] = []
    outcomes = private.outcomes

    def counted(*args: Any, **named: Any) -> list[private.CheckRecord]:
        asked.append(KEY.name)
        return outcomes(*args, **named)

    monkeypatch.setattr(private, "outcomes", counted)
    facts.read(now + AGAIN_SECONDS - 1.0)
    assert not asked
    facts.read(now + AGAIN_SECONDS)
    assert asked
