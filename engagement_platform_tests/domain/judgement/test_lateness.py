"""What is later than promised, and what is not said to be."""

from typing import Any

import pytest

from engagement_platform.domain.alerts import Alert, Watch, look
from engagement_platform.domain.conditions import Condition, Kind, Severity, continued
from engagement_platform.domain.judgement.standing import Expected
from engagement_platform.domain.judgement.stream import conditions_of
from engagement_platform.domain.latency import ENOUGH_EVENTS, Histogram, Recent, to_object
from engagement_platform.domain.status import LoopStatus
from engagement_platform_tests.domain.judgement.standings import AT, EXPECTED, STREAMS, late, only, standing


@pytest.mark.parametrize("loop", EXPECTED, ids=lambda loop: loop.name)
def test_what_arrives_later_than_promised_is_behind(loop: Expected) -> None:
    assert conditions_of(standing(None, **{loop.name: late(loop.promise * 0.9)})) == []
    condition = only(standing(None, **{loop.name: late(loop.promise * 1.2, lag=9)}))
    assert (condition.kind, condition.subject, condition.severity) == (Kind.BEHIND, loop.name, Severity.CRITICAL)
    assert f"{loop.promise:g} s are promised" in condition.what
    assert "9 events wait" in condition.means


def test_of_few_events_nothing_is_told_for_their_slowest_hundredth_is_a_single_one() -> None:
    assert conditions_of(standing(forward=late(99.0, ENOUGH_EVENTS - 1))) == []
    assert only(standing(forward=late(99.0))).kind is Kind.BEHIND


@pytest.mark.parametrize("a_second", [1, 2, 20, 500])
def test_a_single_moment_in_which_events_are_late_tells_nobody(a_second: int) -> None:
    """Whenever it comes between the steps by which the last minute is kept."""
    for late_at in range(300, 312):
        histogram, recent = Histogram(), Recent()
        watch: Watch | None = None
        told: list[Alert] = []
        for second in range(600):
            histogram.add(60.0 if second == late_at else 0.02, a_second)
            kept = {"recent_latency": to_object(recent.of(histogram.present(), second))}
            if second % 10 == 0:
                watch, alerts = look(watch, conditions_of(standing(tally=STREAMS | kept)), AT + second)
                told += alerts
        assert not told


def test_how_far_redis_is_behind_counts_where_no_event_is_counted() -> None:
    assert only(standing(tally=STREAMS | {"behind": 6.0})).kind is Kind.BEHIND


def old(seconds: float, **more: Any) -> dict[str, Any]:
    """A loop that has everything up to so long ago, and for which more waits."""
    return STREAMS | {"as_of": AT - seconds, "lag": ENOUGH_EVENTS, **more}


@pytest.mark.parametrize("loop", EXPECTED, ids=lambda loop: loop.name)
def test_a_loop_that_streams_and_brings_nothing_is_behind(loop: Expected) -> None:
    """As a stage within a load of half an hour, and forward while the partner answers 429 to everything."""
    assert conditions_of(standing(None, **{loop.name: old(loop.promise + 9)})) == [], "clocks may differ by that"
    condition = only(standing(None, **{loop.name: old(7_200.0, lag=5_000_000)}))
    assert (condition.kind, condition.subject) == (Kind.BEHIND, loop.name)
    assert "7,200.0 s" in condition.what
    assert "5,000,000 events wait" in condition.means
    for told in (old(7_200.0, lag=0), old(7_200.0) | {"state": {"kind": "stands by", "since": AT}}):
        assert conditions_of(standing(None, **{loop.name: told})) == [], "nothing waits for it"
    silent = LoopStatus(loop.name, 14.0, ended=False, progress=old(loop.promise + 20))
    assert conditions_of(standing(None, **{loop.name: silent})) == [], "what it told last is as old as its heartbeat"


def test_events_that_the_partner_takes_late_hide_nothing_and_one_that_it_does_not_take_calls_nobody() -> None:
    assert conditions_of(standing(forward=late(0.02, 1) | old(250.0))) == [], "others pass it"
    assert conditions_of(standing(forward=old(250.0, done=0.4))) == [], "a backfill passes it, whose latency is none"
    assert conditions_of(standing(forward=old(250.0, lag=1))) == [], "it is tried, and then a dead letter"
    assert only(standing(forward=old(400.0, lag=1))).kind is Kind.BEHIND, "it should have been one"
    assert only(standing(stage=late(0.02) | old(250.0))).subject == "stage", "of the others each event is brought"


def test_a_stage_that_waits_for_the_rebuild_of_a_day_is_behind_when_its_promise_is_broken_and_not_before() -> None:
    """Under a name that is the same whichever day it is, for it becomes a label and the key of an alert."""
    state = {"kind": "gives way", "since": AT - 40, "subject": "the rebuild of 2026-03-01", "reason": "it is open"}
    assert conditions_of(standing(stage=old(8.0, state=state))) == []
    condition = only(standing(stage=old(40.0, state=state)))
    assert condition.key == ("engagement", "behind", "stage")
    assert "It gives way to the rebuild of 2026-03-01." in condition.means


def test_a_saturated_stream_is_said_once() -> None:
    state = {"kind": "saturated", "since": AT - 33, "subject": "Redis", "reason": "Redis is 8.0 s behind"}
    tally = late(8.0, behind=8.0, done=900.0, lag=100) | {"state": state}
    condition = only(standing(relay=STREAMS | {"offered": 1500.0}, tally=tally, stage=late(60)))
    assert (condition.kind, condition.since) == (Kind.SATURATED, AT - 33)
    assert condition.what.startswith("More events come than can be handled: offered 1,500/s, done 900/s, Redis is ")
    assert "Nothing is lost" in condition.means


def test_what_nobody_knows_the_beginning_of_keeps_the_one_it_was_first_seen_with() -> None:
    (earlier,) = conditions_of(standing(tally=late(9)))
    later = Condition(**{field: getattr(earlier, field) for field in earlier.__slots__} | {"since": AT + 10})
    assert continued([later], [earlier])[0].since == earlier.since
    assert continued([later], [])[0].since == AT + 10
