from datetime import date

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.orchestration.private import Parts
from engagement_platform.orchestration.warehouse.backfill import (
    DayState,
    Progress,
    as_the_runs_ended,
    states,
    to_retry,
)

ONE, TWO = date(2026, 3, 1), date(2026, 3, 2)
BOTH = frozenset({str(ONE), str(TWO)})
NONE: frozenset[str] = frozenset()


def parts(done: frozenset[str] = NONE, failed: frozenset[str] = NONE, requested: frozenset[str] = NONE) -> Parts:
    return Parts(BOTH, done, failed, requested)


def test_a_day_is_done_when_all_its_tables_are() -> None:
    found = states([parts(done=BOTH), parts(done=frozenset({str(ONE)}), requested=BOTH)])
    assert found == {ONE: DayState.DONE, TWO: DayState.RUNS}


def test_a_day_has_failed_when_one_of_its_tables_has() -> None:
    assert states([parts(done=BOTH), parts(failed=frozenset({str(TWO)}))])[TWO] is DayState.FAILED


def test_what_failed_and_was_made_again_is_done() -> None:
    assert states([parts(done=BOTH, failed=BOTH)]) == {ONE: DayState.DONE, TWO: DayState.DONE}


def test_days_in_a_state_are_ascending() -> None:
    progress = Progress("id", "REQUESTED", ended=False, days=states([parts()]), error=None)
    assert progress.in_state(DayState.WAITS) == [ONE, TWO]


def test_a_retry_is_for_what_failed_and_at_the_end_for_all_that_was_not_done() -> None:
    days = states([parts(failed=frozenset({str(ONE)}), requested=BOTH)])
    assert to_retry(Progress("id", "REQUESTED", ended=False, days=days, error=None)) == [ONE]
    assert to_retry(Progress("id", "CANCELED", ended=True, days=days, error=None)) == [ONE, TWO]
    assert to_retry(Progress("id", "FAILED", ended=True, days=states([parts()]), error="?")) == [ONE, TWO]


subsets = st.frozensets(st.sampled_from(sorted(BOTH)))


@given(st.lists(st.builds(parts, subsets, subsets, subsets), min_size=1))
def test_every_wanted_day_has_a_state_and_done_needs_every_table(every: list[Parts]) -> None:
    found = states(every)
    assert set(found) == {ONE, TWO}
    for day, state in found.items():
        assert (state is DayState.DONE) == all(str(day) in each.done for each in every)


TABLE, MART = dg.AssetKey("table"), dg.AssetKey("mart")
RANGE = {"dagster/asset_partition_range_start": str(ONE), "dagster/asset_partition_range_end": str(TWO)}


def run(status: dg.DagsterRunStatus, *assets: dg.AssetKey, **tags: str) -> dg.DagsterRun:
    named = {name.replace("__", "/"): value for name, value in tags.items()}
    return dg.DagsterRun("job", status=status, asset_selection=frozenset(assets) or None, tags=RANGE | named)


def of_runs(*runs: dg.DagsterRun, ended: bool = False, **kept: frozenset[str]) -> dict[date, DayState]:
    """The days of a backfill of two tables that Dagster keeps in one way, with these runs."""
    return states(as_the_runs_ended({TABLE: parts(**kept), MART: parts(**kept)}, runs, ended=ended).values())


FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


def test_days_that_a_run_did_after_dagster_had_looked_are_done() -> None:
    runs = [run(SUCCESS), run(FAILURE, dagster__will_retry="true", dagster__auto_retry_run_id="2")]
    kept = {"done": frozenset({str(ONE)}), "failed": frozenset({str(TWO)})}
    assert set(of_runs(*runs, ended=True, **kept).values()) == {DayState.DONE}


@pytest.mark.parametrize(
    "runs",
    [
        [run(FAILURE)],
        [run(FAILURE, dagster__will_retry="true")],
        *(
            [run(status), run(FAILURE, dagster__will_retry="true", dagster__auto_retry_run_id="2")]
            for status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
        ),
    ],
)
def test_days_of_a_killed_run_have_not_failed_before_it_has_had_its_tries(runs: list[dg.DagsterRun]) -> None:
    assert set(of_runs(*runs, failed=BOTH, requested=BOTH).values()) == {DayState.RUNS}
    assert set(of_runs(*runs, failed=BOTH, requested=BOTH, ended=True).values()) == {DayState.FAILED}


def test_days_of_a_run_that_is_not_launched_again_have_failed() -> None:
    assert set(of_runs(run(FAILURE, dagster__will_retry="false"), failed=BOTH).values()) == {DayState.FAILED}


def test_a_run_is_for_its_own_days_and_tables_only() -> None:
    of_one = run(SUCCESS, dagster__asset_partition_range_end=str(ONE))
    assert of_runs(of_one, failed=BOTH) == {ONE: DayState.DONE, TWO: DayState.FAILED}
    assert set(of_runs(run(SUCCESS, TABLE), failed=BOTH).values()) == {DayState.FAILED}
    alone = dg.DagsterRun("job", status=SUCCESS, tags={"dagster/partition": str(TWO)})
    assert of_runs(alone, failed=BOTH) == {ONE: DayState.FAILED, TWO: DayState.DONE}
