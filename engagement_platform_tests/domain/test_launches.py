"""What the sensor decides: when to launch, and what to cancel."""

from datetime import timedelta
from typing import Any

import pytest

from engagement_platform.domain.launches import (
    ACCEPTED_WITHIN,
    BEGUN_WITHIN,
    Launch,
    Run,
    Skip,
    abandoned,
    decide,
    needed,
)
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform_tests.domain.test_leases import (
    BOTH,
    LEAD,
    NOW,
    SECOND,
    SUCCESSOR,
    draining,
    gone,
    lease,
    loop,
    snapshot,
)

ALWAYS = timedelta(seconds=600)


def run(run_id: str = "other", age: float = 5, **how: Any) -> Run:
    return Run(run_id, NOW - age * SECOND, **({"launched_by": "here"} | how))


def decided(shown: LeaseSnapshot, *runs: Run, lead: timedelta = LEAD) -> Launch | Skip:
    return decide(shown, runs, lead, "here")


@pytest.mark.parametrize(
    "shown",
    [
        snapshot(None),
        snapshot(lease(released=True), *BOTH),
        snapshot(lease(), gone("relay"), gone("tally")),
        snapshot(lease(), gone("relay", silent=16), loop("tally")),
        snapshot(lease(left=59), *BOTH),
        snapshot(lease(left=-10), *BOTH),
        snapshot(draining(), gone("relay", silent=16)),
    ],
    ids=["first", "released", "dead", "a loop is missing", "ends soon", "outlived", "drain died"],
)
def test_it_launches(shown: LeaseSnapshot) -> None:
    assert isinstance(decided(shown), Launch)


def test_it_leaves_a_healthy_lease_alone() -> None:
    assert isinstance(decided(snapshot(lease(left=61), *BOTH)), Skip)


def test_one_run_always_waits_when_the_lead_is_a_whole_lease() -> None:
    assert isinstance(decided(snapshot(lease(left=599), *BOTH), lead=ALWAYS), Launch)
    assert isinstance(decided(snapshot(lease(left=599), *BOTH, *SUCCESSOR), lead=ALWAYS), Skip)


def test_it_does_not_launch_beside_a_live_waiter() -> None:
    assert isinstance(needed(snapshot(lease(left=10), *BOTH, *SUCCESSOR), LEAD), Skip)
    assert isinstance(needed(snapshot(lease(released=True), *SUCCESSOR), LEAD), Skip)
    assert isinstance(needed(snapshot(lease(left=10), *BOTH, loop("relay", "new", awaits=8, silent=14)), LEAD), Skip)


@pytest.mark.parametrize("age", [5, 31, BEGUN_WITHIN.total_seconds() - 1])
def test_it_does_not_launch_beside_a_run_that_starts_up_however_slowly(age: float) -> None:
    decision = decided(snapshot(None), run("slow", age))
    assert isinstance(decision, Skip)
    assert "slow" in decision.reason


def test_a_run_that_never_begins_does_not_block_for_ever() -> None:
    assert isinstance(decided(snapshot(None), run(age=BEGUN_WITHIN.total_seconds() + 1)), Launch)


def test_a_launch_that_failed_does_not_block_for_long() -> None:
    within, beyond = ACCEPTED_WITHIN.total_seconds() - 1, ACCEPTED_WITHIN.total_seconds() + 1
    assert isinstance(decided(snapshot(None), run(age=within, accepted=False)), Skip)
    assert isinstance(decided(snapshot(None), run(age=beyond, accepted=False)), Launch)


def test_a_run_of_a_code_server_that_is_gone_does_not_block() -> None:
    assert isinstance(decided(snapshot(None), run(launched_by="gone")), Launch)


def test_what_a_person_launched_blocks_for_a_short_time_and_is_not_cancelled() -> None:
    by_hand = run(launched_by=None, queued=True)
    assert isinstance(decided(snapshot(None), by_hand), Skip)
    assert isinstance(decided(snapshot(None), run(age=31, launched_by=None)), Launch)
    assert abandoned([by_hand], "here") == []


def test_queued_runs_of_a_code_server_that_is_gone_are_cancelled() -> None:
    left = [run(f"r{number}", launched_by="gone", queued=True) for number in range(3)]
    started, mine = run("started", launched_by="gone"), run("mine", queued=True)
    assert abandoned([*left, started, mine], "here") == left


def test_a_young_run_that_ended_or_whose_processes_died_does_not_block() -> None:
    dead = snapshot(lease(), gone("relay"), gone("tally"), gone("relay", "new", awaits=8))
    assert isinstance(decided(dead, run("ended", ended=True), run("new")), Launch)


def test_a_young_holder_that_died_does_not_block() -> None:
    dead = snapshot(lease(age=10), gone("relay", silent=4), gone("tally", silent=4))
    assert isinstance(decided(dead, run("old", age=15)), Launch)


def test_it_waits_when_run_after_run_fails() -> None:
    failed = [run(f"r{n}", age=9 * n, ended=True, failed=True) for n in range(1, 7)]
    assert isinstance(decided(snapshot(None), *failed[1:]), Launch)
    decision = decided(snapshot(None), *failed)
    assert isinstance(decision, Skip)
    assert "r1" in decision.reason
