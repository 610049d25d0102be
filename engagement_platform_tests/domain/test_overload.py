"""When the stream is saturated, and who takes less then."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.loop_state import Activity, LoopState, in_words
from engagement_platform.domain.overload import (
    GIVES_WAY_FROM,
    LEAST,
    MAX_DEBT,
    SATURATED_FOR,
    TOLD_WITHIN,
    Saturation,
    behind_of,
    debt_after,
    share_of,
)
from engagement_platform.domain.progress import BEHIND, DONE, OFFERED, Figures, to_object
from engagement_platform.domain.rates import Rate, Rates
from engagement_platform.domain.status import LoopStatus, stands_still, summarize
from engagement_platform_tests.domain.test_status import loop_status, snapshot

behinds = st.floats(0, 1e6)
AT_WORK = [Activity.STREAMS, Activity.SATURATED]


def tally(behind: float | None, kind: Activity, silent: float = 0.5, *, ended: bool = False) -> LoopStatus:
    gauges = {} if behind is None else {BEHIND: behind}
    return LoopStatus("tally", silent, ended, to_object(Figures(gauges=gauges, state=LoopState(kind, 0.0))))


@given(behinds, st.sampled_from(Activity), st.floats(0, 60), st.booleans())
def test_only_a_tally_that_streams_and_said_so_a_moment_ago_is_given_way_to(
    behind: float, kind: Activity, silent: float, ended: bool
) -> None:
    holds = kind in (*AT_WORK, Activity.GIVES_WAY) and silent <= TOLD_WITHIN and not ended
    assert behind_of(tally(behind, kind, silent, ended=ended)) == (behind if holds else 0.0)


def test_nobody_is_held_up_by_a_tally_that_is_not_there_or_of_another_version() -> None:
    assert behind_of(None) == behind_of(tally(None, Activity.STREAMS)) == 0.0
    assert behind_of(LoopStatus("tally", 0.0, ended=False, progress={"behind": 9.0})) == 0.0, "it tells no state"


@given(behinds, behinds)
def test_who_gives_way_takes_less_the_further_redis_is_behind_and_never_nothing(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert 1.0 >= share_of(less) >= share_of(more) >= LEAST * 0.999
    assert (share_of(less) == 1.0) == (less <= GIVES_WAY_FROM)


@given(st.floats(LEAST, 0.99), st.lists(st.floats(0.0, 0.4), min_size=1, max_size=60))
def test_it_works_for_its_share_of_the_time_whatever_its_steps_take(share: float, steps: list[float]) -> None:
    worked = passed = debt = 0.0
    for step in steps:
        rested = debt
        debt = debt_after(debt, step, step + rested, share)
        worked, passed = worked + step, passed + step + rested
    assert worked <= share * (passed + debt) + 1e-6


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(LEAST, 1.0))
def test_it_never_rests_for_long_and_not_at_all_once_redis_has_caught_up(
    debt: float, worked: float, passed: float, share: float
) -> None:
    assert 0.0 <= debt_after(debt, worked, passed, share) <= MAX_DEBT
    assert debt_after(debt, worked, passed, 1.0) == 0.0


def test_saturated_is_what_stays_behind_and_it_ends_once_that_is_caught_up() -> None:
    saturation = Saturation()
    for second, behind in enumerate([0.1, 1.2, 0.7, 2.0, 9.0, 0.6]):
        saturation = saturation.after(behind, float(second))
        state = saturation.state(behind, float(second))
        assert (state is not None) == (second >= 1 + SATURATED_FOR), "it began in second 1, and a burst is none"
    assert state == LoopState(Activity.SATURATED, 1.0, "Redis", "Redis is 0.6 s behind")
    assert in_words(state) == "saturated since 1970-01-01 00:00:01 UTC (Redis is 0.6 s behind)"
    saturation = saturation.after(0.4, 6.0)
    assert saturation == Saturation()
    assert saturation.state(0.4, 6.0) is None


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), min_size=2, max_size=40))
def test_rates_of_the_last_seconds(steps: list[tuple[int, int]]) -> None:
    rates, events, kept = Rates(), 0, list[tuple[int, int]]()
    for second, (done, lag) in enumerate(steps):
        events += done
        kept.append((events, lag))
        rate = rates.of(events, lag, float(second))
        before, seconds = max(0, second - int(Rates.SECONDS)), min(second, int(Rates.SECONDS))
        if not second:
            assert rate is None
            continue
        more = lag - kept[before][1]
        handled = events - kept[before][0]
        assert rate == Rate(max(0.0, (handled + more) / seconds), handled / seconds)


def test_what_is_offered_is_not_known_where_nobody_knows_what_waits() -> None:
    rates = Rates()
    rates.of(0, None, 0.0)
    assert rates.of(20, 5, 2.0) == Rate(None, 10.0)
    assert rates.of(30, 7, 3.0) == Rate(12.0, 10.0), "by what is known since"


def status(loop: str, kind: Activity, **gauges: float) -> LoopStatus:
    told = to_object(Figures(state=LoopState(kind, 60.0, "Redis", "Redis is 4.2 s behind")))
    return LoopStatus(loop, 0.5, ended=False, progress=told | gauges)


def test_the_first_sentence_says_that_more_is_offered_than_is_done() -> None:
    loops = {
        "relay": status("relay", Activity.STREAMS, **{OFFERED.name: 9_800.4, DONE.name: 7_400.0}),
        "tally": status("tally", Activity.SATURATED, **{OFFERED.name: 7_400.0, DONE.name: 7_100.0, BEHIND.name: 4.2}),
    }
    summary = summarize(snapshot(), loops, {}, ("relay", "tally"))
    assert not summary.well
    assert summary.sentence.startswith(
        "Saturated since 1970-01-01 00:01:00 UTC, offered 9,800/s, done 7,100/s, Redis is 4.2 s behind. Nothing is lost"
    )


@pytest.mark.parametrize("kind", [Activity.SATURATED, Activity.GIVES_WAY])
def test_events_pass_all_the_same(kind: Activity) -> None:
    now = datetime.now(UTC).timestamp()
    assert not stands_still(status("stage", kind), None, now)
    assert LoopState(kind, 0.0).is_streaming


def test_a_loop_that_gives_way_is_well() -> None:
    giving = loop_status(state={"kind": "gives way", "since": 0, "subject": "Redis", "reason": "it is 2 s behind"})
    loops = {"relay": status("relay", Activity.STREAMS), "tally": giving}
    assert summarize(snapshot(), loops, {}, ("relay", "tally")).well
    assert giving.state is not None
    assert in_words(giving.state) == "gives way to Redis since 1970-01-01 00:00:00 UTC (it is 2 s behind)"
