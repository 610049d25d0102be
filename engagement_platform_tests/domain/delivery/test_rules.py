"""The smaller rules: pauses, breaker, rates, prefix, lanes."""

import random

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.delivery.gate import (
    MAX_RETRY_AFTER_SECONDS,
    MAX_RETRY_SECONDS,
    Breaker,
    BreakerState,
    Rate,
    pause,
)
from engagement_platform.domain.delivery.parcels import Lanes, Outgoing
from engagement_platform.domain.delivery.tries import Prefix

jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), jitters)
def test_a_pause_grows_to_its_longest_and_is_never_none(tries: int, jitter: float) -> None:
    assert 0 < pause(tries, None, jitter) <= MAX_RETRY_SECONDS
    assert pause(tries + 2, None, 0) > pause(tries, None, jitter) or pause(tries, None, 0) >= MAX_RETRY_SECONDS / 2


@given(st.integers(1, 100), st.floats(0.001, 1e9), jitters)
def test_the_partner_is_not_asked_before_the_time_it_named(tries: int, asked: float, jitter: float) -> None:
    assert pause(tries, asked, jitter) >= min(asked, MAX_RETRY_AFTER_SECONDS)
    assert pause(tries, asked, jitter) <= MAX_RETRY_AFTER_SECONDS * 1.1


events = st.lists(st.tuples(st.sampled_from(["works", "fails", "passes"]), st.floats(0, 20)), max_size=100)


@given(events, st.integers(1, 5))
def test_an_open_breaker_lets_one_probe_through_in_each_interval(steps: list[tuple[str, float]], after: int) -> None:
    """Requests end one after the other here, and as soon as one may be made it is."""
    breaker, now, row, open_since = Breaker(after, 5.0), 0.0, 0, None
    for what, seconds in steps:
        if what == "passes":
            now += seconds
            continue
        if not breaker.may_send(now):
            assert open_since is not None
            assert now - open_since < 5
            continue
        probe = breaker.send()
        assert probe == (open_since is not None)
        assert not (probe and breaker.may_send(now))
        if what == "works":
            assert breaker.worked(now) == probe
            row, open_since = 0, None
        else:
            breaker.failed(now, probe=probe)
            row += 1
            open_since = now if probe or row >= after else None
        assert (breaker.state is BreakerState.OPEN) == (open_since is not None)


def test_its_clock_stands_still_while_it_is_open() -> None:
    breaker = Breaker(2, 5.0)
    begun = breaker.clock(100)
    breaker.send()
    breaker.failed(110, probe=False)
    assert breaker.clock(110) - begun == 10
    breaker.failed(120, probe=False)
    assert breaker.clock(500) - begun == 20
    assert breaker.send()
    breaker.failed(510, probe=True)
    assert breaker.clock(600) - begun == 20
    breaker.send()
    assert breaker.worked(601)
    assert breaker.clock(604) - begun == 23


def test_the_patience_that_a_failing_partner_asks_for_moves_the_probe() -> None:
    breaker = Breaker(1, 5.0)
    breaker.send()
    breaker.failed(0, probe=False, wait=60)
    assert not breaker.may_send(59)
    assert breaker.may_send(60)


def test_a_failure_from_before_says_nothing_of_the_probe() -> None:
    breaker = Breaker(1, 5.0)
    breaker.send()
    breaker.failed(0, probe=False)
    breaker.send()
    breaker.failed(6, probe=False)
    assert not breaker.may_send(7)
    assert breaker.worked(7)
    assert breaker.may_send(7)


@given(
    st.floats(0.5, 1000),
    st.lists(st.tuples(st.integers(1, 300), st.floats(0, 3)), min_size=1, max_size=60),
)
def test_no_span_of_time_has_more_than_its_rate_and_one_bucket_and_one_request(
    rate: float, wishes: list[tuple[int, float]]
) -> None:
    bucket, now, taken = Rate(rate), 0.0, 0
    for number, idle in wishes:
        now += idle
        if (wait := bucket.pause(now)) > 0:
            now += wait * (1 + 1e-9) + 1e-9
        assert bucket.pause(now) == 0
        bucket.take(number, now)
        taken += number
        assert taken - number <= rate * now + max(rate, 1) + 1e-6


def test_no_rate_is_no_limit() -> None:
    rate = Rate(None)
    rate.take(10**9, 0)
    assert rate.pause(0) == 0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=50), st.randoms(use_true_random=False))
def test_only_what_is_settled_lies_before_the_committable_offset(steps: list[int], luck: random.Random) -> None:
    """Against the obvious version, for offsets with holes and settled in any order."""
    prefix, offset = Prefix(10), 10
    read: list[int] = []
    for step in steps:
        offset += step - 1
        prefix.add(offset)
        read.append(offset)
        offset += 1
    prefix.reach(offset + 3)
    left = set(read)
    order = list(read)
    luck.shuffle(order)
    assert prefix.committable == read[0]
    for settled in order:
        prefix.settle(settled)
        left.discard(settled)
        assert prefix.committable == min(left, default=offset + 3)
        assert prefix.span <= read[-1] - read[0] + 1
    assert prefix.span == 0


@given(st.lists(st.integers(0, 6), max_size=80), st.integers(1, 10), st.randoms(use_true_random=False))
def test_lanes_give_every_event_once_in_the_order_of_its_lane(lanes: list[int], most: int, luck: random.Random) -> None:
    waiting = Lanes()
    out: list[Outgoing] = []
    taken: list[tuple[Outgoing, ...]] = []
    for number, lane in enumerate(lanes):
        waiting.add(Outgoing(number, lane, b"", ("t", 0, number), float(number)))
        if luck.random() < 0.3:
            taken.append(waiting.take(most))
            out.extend(taken[-1])
        if taken and luck.random() < 0.3:
            waiting.release(event.lane for event in taken.pop(0))
    while taken or waiting.ready:
        for parcel in taken:
            waiting.release(event.lane for event in parcel)
        taken = [waiting.take(most)]
        assert len(taken[0]) <= most
        out.extend(taken[0])
        if not taken[0]:
            taken = []
    assert sorted(event.id for event in out) == list(range(len(lanes)))
    for lane in set(lanes):
        ids = [event.id for event in out if event.lane == lane]
        assert ids == sorted(ids)
