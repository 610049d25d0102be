"""The checks of the loops: evaluated when something changes, and shown beside the materializations of the loops."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import msgspec
import pytest
from dagster._core.events import StepMaterializationData
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.domain.keeps_up import Outcome
from engagement_platform.domain.latency import Histogram
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.progress import Figures, to_object
from engagement_platform.health.letters import LetterWatch
from engagement_platform.orchestration import keeps_up
from engagement_platform.orchestration.assets import streamed_key
from engagement_platform.orchestration.keeps_up import (
    AS_PROMISED,
    KEEPS_UP,
    Judge,
    Judged,
    forget_outcomes,
    judge_loops_of,
)
from engagement_platform.orchestration.warehouse.events import events_key, up_to_date_key
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import PACKAGED

TALLY = dg.AssetCheckKey(streamed_key(PACKAGED, "tally"), KEEPS_UP)
WELL = Outcome(passed=True, said="As promised.")
STILL = Outcome(passed=False, said="Tally waits for Redis.", is_severe=True, about=("loop_stands_still Redis",))
RUN = dg.DagsterRun(job_name="engagement_stream", run_id="b7a1c2c0-0000-4000-8000-000000000001")
SUCCESSOR = dg.DagsterRun(job_name="engagement_stream", run_id="b7a1c2c0-0000-4000-8000-000000000002")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        for run in (RUN, SUCCESSOR):
            made.add_run(run)
        yield made


class Told:
    """A sensor whose judge says what a test tells it to."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self._instance = instance
        self.judged = Judged(RUN.run_id, {TALLY: WELL, up_to_date_key(PACKAGED): WELL})
        self.cursor: str | None = None
        monkeypatch.setattr(Judge, "look", lambda _: self.judged)
        self._sensor = judge_loops_of(PACKAGED)

    def tick(self) -> tuple[int, int]:
        """Return how many outcomes were told, in the run and without one."""
        before = self._told_in_run()
        context = dg.build_sensor_context(instance=self._instance, cursor=self.cursor)
        result = self._sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for event in result.asset_events:
            self._instance.report_runless_asset_event(event)
        return self._told_in_run() - before, len(result.asset_events)

    def say(self, outcome: Outcome, run: dg.DagsterRun | None = RUN) -> tuple[int, int]:
        self.judged = Judged(run.run_id if run else None, {**self.judged.outcomes, TALLY: outcome})
        return self.tick()

    def _told_in_run(self) -> int:
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        return sum(
            len(self._instance.get_records_for_run(run.run_id, of_type=kind).records) for run in (RUN, SUCCESSOR)
        )


@pytest.fixture
def told(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(instance, monkeypatch)


def test_an_outcome_is_told_when_it_changes_and_not_again(told: Told) -> None:
    assert told.tick() == (1, 1), "the loop's in its run, the table's without one"
    assert told.tick() == (0, 0)
    assert told.say(STILL) == (1, 0)
    assert told.say(replace(STILL, said="Tally waits for Redis. 12 events wait.")) == (0, 0)
    assert told.say(WELL) == (1, 0)


def test_an_outcome_that_stays_is_told_each_hour(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.tick()
    monkeypatch.setattr(keeps_up, "EVERY_SECONDS", 0.0)
    assert told.tick() == (1, 1)


def test_an_outcome_that_dagster_was_let_forget_is_told_anew(told: Told, instance: dg.DagsterInstance) -> None:
    told.say(STILL)
    assert told.tick() == (0, 0)
    forget_outcomes(instance, PACKAGED)
    assert not instance.event_log_storage.get_asset_check_execution_history(TALLY, limit=10)
    told.tick()
    (execution,) = instance.event_log_storage.get_asset_check_execution_history(TALLY, limit=10)
    assert execution.evaluation is not None
    assert not execution.evaluation.passed
    assert told.tick() == (0, 0)


def test_it_is_told_of_the_run_that_streams_now(told: Told) -> None:
    told.tick()
    assert told.say(WELL, SUCCESSOR) == (1, 0)
    assert told.say(STILL, run=None) == (0, 1), "nobody streams"


def test_while_nobody_can_tell_who_streams_it_is_told_of_the_run_of_before(
    told: Told, instance: dg.DagsterInstance
) -> None:
    """Told without a run it would stay the latest, and red, when that run is read to be well again."""
    told.tick()
    told.judged = Judged(None, {TALLY: STILL}, is_read=False)
    assert told.tick() == (1, 0)
    told.say(WELL)
    (execution,) = instance.event_log_storage.get_asset_check_execution_history(TALLY, limit=10)
    assert execution.evaluation is not None
    assert execution.evaluation.passed


def test_a_cursor_of_another_version_is_no_reason_to_fail(told: Told) -> None:
    for cursor in ("{", '{"a": 1}', msgspec.json.encode([1]).decode()):
        told.cursor = cursor
        assert told.tick() == (1, 1)


def is_shown(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> bool:
    """Say whether Dagster shows the outcome of a check in the lineage."""

    async def ask() -> bool:
        context = LoadingContextForTest(instance)
        record = await AssetCheckExecutionRecord.gen(context, key)
        return record is not None and await record.targets_latest_materialization(context)

    return asyncio.run(ask())


def test_it_stays_red_in_the_lineage_while_the_loop_goes_on_to_report(told: Told, instance: dg.DagsterInstance) -> None:
    """As of a loop that streams too late. Told without a run it would vanish at the next materialization."""
    told.say(STILL)
    for _ in range(3):
        time.sleep(0.01)
        data = StepMaterializationData(dg.AssetMaterialization(TALLY.asset_key))
        event = dg.DagsterEvent("ASSET_MATERIALIZATION", job_name=RUN.job_name, event_specific_data=data)
        instance.report_dagster_event(event, run_id=RUN.run_id)
        assert is_shown(instance, TALLY)
    (execution,) = instance.event_log_storage.get_asset_check_execution_history(TALLY, limit=10)
    assert execution.evaluation is not None
    assert execution.evaluation.severity is dg.AssetCheckSeverity.ERROR
    instance.report_runless_asset_event(dg.AssetMaterialization(events_key(PACKAGED), partition="2026-01-01"))
    assert is_shown(instance, up_to_date_key(PACKAGED)), "so are the reports of the days that the stream has filled"


# What the judge reads


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setattr(LetterWatch, "counts", lambda _: LetterCounts())
    return Judge(PACKAGED)


def beat(leases: Leases, loop: str, state: LoopState, latency: Histogram) -> None:
    leases.beat(RUN.run_id, loop, 1, to_object(Figures(state=state, latency=latency.present())))


def test_each_loop_is_judged_by_its_heartbeat_and_its_last_hour(leases: Leases, judge: Judge) -> None:
    for loop in NAMES:
        awaits = leases.register(RUN.run_id, loop)
    leases.claim(RUN.run_id, awaits, 600, NAMES)
    quick, late = Histogram(), Histogram()
    quick.add(0.02, 1_000)
    late.add(60.0, 1_000)
    for loop in NAMES:
        beat(leases, loop, LoopState(Activity.STREAMS, time.time()), late if loop == "stage" else quick)
    beat(leases, "tally", LoopState(Activity.WAITS, time.time(), "Redis", "Connection refused"), quick)
    judged = judge.look()
    assert judged.run_id == RUN.run_id
    failed = {f"{key.asset_key.path[-1]}:{key.name}" for key, outcome in judged.outcomes.items() if not outcome.passed}
    assert failed == {f"engagement_views:{KEEPS_UP}", f"staged_batches:{AS_PROMISED}"}
    assert judged.outcomes[TALLY].is_severe
    assert "Redis" in judged.outcomes[TALLY].said


def test_when_nobody_streams_every_check_but_the_latencies_is_red(leases: Leases, judge: Judge) -> None:
    assert leases.latest().lease is None
    outcomes = judge.look().outcomes
    assert all(outcome.passed == (key.name == AS_PROMISED) for key, outcome in outcomes.items())


def test_a_platform_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch, judge: Judge) -> None:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://nobody@127.0.0.1:1/unused")
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/unused")
    outcomes = judge.look().outcomes
    assert outcomes[TALLY].is_severe
    assert "platform" in outcomes[TALLY].said.lower()


def test_settings_that_cannot_be_used_turn_the_checks_red_and_leave_none_as_promised(
    monkeypatch: pytest.MonkeyPatch, judge: Judge
) -> None:
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/unused")
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "nonsense")
    outcomes = judge.look().outcomes
    assert {key.name for key in outcomes} == {KEEPS_UP, up_to_date_key(PACKAGED).name}
    assert all(outcome.is_severe and "ENGAGEMENT_SOURCE_DSN" in outcome.said for outcome in outcomes.values())


def test_the_checks_can_be_executed_by_hand(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leases.latest().lease is None
    monkeypatch.setattr(LetterWatch, "counts", lambda _: LetterCounts())
    checks = keeps_up.loops_keep_up_of(PACKAGED)
    result = dg.materialize([checks], selection=dg.AssetSelection.checks(TALLY), raise_on_error=True)
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.asset_check_key == TALLY
    assert not evaluation.passed
