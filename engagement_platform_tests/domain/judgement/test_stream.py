"""What is wrong with a stream as a whole, and that nothing is said twice or left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.conditions import Kind, Severity, by_importance
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.judgement.partner import PARTNER
from engagement_platform.domain.judgement.standing import Standing
from engagement_platform.domain.judgement.stream import conditions_of, unreadable
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.promises import DESTINATIONS, promises
from engagement_platform.domain.status import LoopStatus, summarize, with_conditions
from engagement_platform.stream.registry import LOOPS, NAMES
from engagement_platform_tests.domain.judgement.standings import AT, EXPECTED, NOW, PAUSE, only, snapshot, standing


def test_of_a_stream_that_is_well_there_is_nothing() -> None:
    assert conditions_of(standing()) == []


@pytest.mark.parametrize(
    ("shown", "form", "since"),
    [
        (LeaseSnapshot(NOW, None, ()), "never_streamed", AT),
        (snapshot(released=True), "run_has_ended", AT),
        (snapshot(silent=44), "run_is_silent", AT - 44),
    ],
)
def test_nobody_streams_is_said_once_for_all_loops(shown: LeaseSnapshot, form: str, since: float) -> None:
    condition = only(standing(shown, tally=None))
    assert (condition.kind, condition.severity) == (Kind.NOBODY_STREAMS, Severity.CRITICAL)
    assert (condition.form, condition.since, condition.loops) == (form, since, NAMES)
    assert "keep_engagement_stream_alive" in condition.todo
    assert "nothing is lost" in condition.means


def test_a_stream_that_is_drained_now_and_then_has_no_run_in_between() -> None:
    assert conditions_of(standing(snapshot(released=True), is_kept_alive=False)) == []


def test_loops_of_a_drain_that_have_not_had_their_turn_stand_not_still() -> None:
    assert conditions_of(standing(snapshot(drains=True), tally=None, is_kept_alive=False)) == []


def test_a_stream_that_cannot_be_read_says_why() -> None:
    condition = unreadable("orders", Unavailable("The platform database does not answer.", "Start it."), AT)
    assert (condition.kind, condition.severity, condition.stream) == (Kind.UNREADABLE, Severity.CRITICAL, "orders")
    assert (condition.what, condition.todo) == ("The platform database does not answer.", "Start it.")


SERVERS = ("Kafka at h:1", "Redis at h:2", PARTNER, "")
STATUSES = st.one_of(
    st.none(),
    st.builds(
        lambda kind, subject, since, silent, ended, lag, breaker, seconds: LoopStatus(
            "",
            silent,
            ended,
            {
                "state": {"kind": kind, "since": AT - since, "subject": subject, "reason": "It is so."},
                "lag": lag,
                "breaker": breaker,
                "behind": seconds,
            },
        ),
        st.sampled_from([activity.value for activity in Activity]),
        st.sampled_from(SERVERS),
        st.sampled_from([0, 40, 4000]),
        st.sampled_from([0.0, 14.0, 16.0]),
        st.booleans(),
        st.one_of(st.none(), st.integers(0, 10_000)),
        st.sampled_from(["closed", "open", "probing"]),
        st.sampled_from([0.0, 3.0, 60.0]),
    ),
)
STANDINGS = st.builds(
    lambda shown, loops, paused: Standing(
        "engagement",
        shown,
        {name: status for name, status in zip(NAMES, loops, strict=True) if status is not None},
        dict.fromkeys(paused, PAUSE),
        EXPECTED,
    ),
    st.sampled_from([snapshot(), snapshot(silent=44), snapshot(released=True), LeaseSnapshot(NOW, None, ())]),
    st.tuples(STATUSES, STATUSES, STATUSES, STATUSES),
    st.sets(st.sampled_from(["tally", "stage", "forward"])),
)
OF_LOOPS = {Kind.NOBODY_STREAMS, Kind.LOOP_STANDS_STILL, Kind.BREAKER_OPEN, Kind.LOOP_PAUSED, Kind.SATURATED}


@given(STANDINGS)
def test_status_and_conditions_agree(facts: Standing) -> None:
    found = conditions_of(facts)
    well = summarize(facts.snapshot, facts.loops, facts.pauses, NAMES).well
    assert well is not any(one.kind in OF_LOOPS for one in found)
    said = with_conditions(summarize(facts.snapshot, facts.loops, facts.pauses, NAMES), found)
    assert said.well is not any(one.severity is Severity.CRITICAL or one.kind in OF_LOOPS for one in found)


@given(STANDINGS)
def test_each_condition_is_one_of_its_kind_and_says_what_means_and_todo(facts: Standing) -> None:
    found = conditions_of(facts)
    assert len({one.key for one in found}) == len(found)
    assert found == by_importance(found)
    assert all(one.what and one.means and one.todo and one.form for one in found)
    about_loops = [
        name for one in found if one.kind in (Kind.LOOP_STANDS_STILL, Kind.BREAKER_OPEN) for name in one.loops
    ]
    assert len(about_loops) == len(set(about_loops)), "a loop stands still for one reason"


@pytest.mark.parametrize(("kind", "seconds", "promised"), [("delta", 5.0, 10.0), ("bigquery", 30.0, 45.0)])
def test_the_promises_stand_for_every_destination(kind: str, seconds: float, promised: float) -> None:
    assert set(promises(kind, seconds)) == set(DESTINATIONS) == {loop.destination for loop in LOOPS}
    assert (promises(kind, seconds)["redis"], promises(kind, seconds)["warehouse"]) == (5.0, promised)
