"""The delivery as a whole, against a partner who does anything: nothing is lost, and no content is out of order."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_platform.domain.delivery import blame
from engagement_platform.domain.delivery.dispatch import LOOK_AGAIN_SECONDS, Dispatch
from engagement_platform.domain.delivery.gate import MAX_RETRY_AFTER_SECONDS, BreakerState
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, judge
from engagement_platform.domain.delivery.parcels import Failed, Outgoing, Parcel, Policy
from engagement_platform.domain.delivery.tries import Tried

AT = datetime(2026, 1, 1, tzinfo=UTC)
Partner = Callable[[Parcel], Answer | NoAnswer]


def policy_with(**changes: Any) -> Policy:
    """A policy in which only what a test is about differs."""
    usual: dict[str, Any] = {"batch_size": 200, "wait": 0.1, "in_flight": 8, "retry": 900, "opens_after": 5, "probe": 5}
    return Policy(**usual | changes)


def outgoing(number: int, content: object, arrived: float = 0.0) -> Outgoing:
    return Outgoing(number, content, b"{}", ("events", 0, number), arrived)


def next_due(dispatch: Dispatch, now: float) -> float | None:
    """In how many seconds there may be something to send; None when only an outcome or an event can tell."""
    waiting = dispatch._waiting
    since, full = waiting._lanes.waits_since(), waiting._lanes.ready >= waiting._policy.batch_size
    times = [] if since is None else [now if full else since + waiting._policy.wait]
    times += [parcel.not_before for parcel in waiting._resting]
    return max(0.0, min(times) - now) if times and not dispatch._gate.is_full else None


class World:
    """Drives a delivery: time passes, requests take a while, up to `in_flight` of them at once."""

    def __init__(self, policy: Policy, partner: Partner, seed: int = 0) -> None:
        self.dispatch = Dispatch(policy)
        self.partner = partner
        self.random = random.Random(seed)
        self.now = 0.0
        self.under_way: list[Parcel] = []
        self.sent: list[tuple[int, ...]] = []
        self.accepted: list[Outgoing] = []
        self.dead: list[int] = []
        self.failed: list[Failed] = []
        self.delivered: Counter[int] = Counter()

    def step(self) -> None:
        while (parcel := self.dispatch.next(self.now, AT)) is not None:
            contents = {event.lane for flying in self.under_way for event in flying.events}
            assert contents.isdisjoint(parcel.lanes), "two requests with one content at once"
            self.under_way.append(parcel)
            self.sent.append(tuple(event.id for event in parcel.events))
        if self.under_way:
            parcel = self.under_way.pop(self.random.randrange(len(self.under_way)))
            answer = self.partner(parcel)
            outcome = judge(answer, AT)
            if isinstance(answer, Answer) and answer.status < 300:
                self.accepted.extend(parcel.events)
            settled = self.dispatch.settle(parcel, outcome, self.now, self.random.random())
            self.delivered.update(event.id for event in settled.delivered)
            self.dead.extend(failed.event.id for failed in settled.failed)
            self.failed.extend(settled.failed)
            self.now += 0.01
        else:
            pause = 0.05 if self.dispatch.breaker is BreakerState.CLOSED else 0.5
            self.now += max(pause, next_due(self.dispatch, self.now) or 0.0)

    def run(self, most: int = 20_000) -> None:
        for _ in range(most):
            if self.dispatch.is_idle:
                return
            self.step()
        raise AssertionError("it never ends")

    def run_until(self, condition: Callable[[], bool], most: int = 20_000) -> None:
        for _ in range(most):
            if condition():
                return
            self.step()
        raise AssertionError("it never comes to that")


def order_holds(world: World) -> bool:
    """The first acceptance of each event comes in the order of its content."""
    first = dict.fromkeys(world.accepted)
    last: dict[object, int] = {}
    for event in first:
        if last.get(event.lane, -1) > event.id:
            return False
        last[event.lane] = event.id
    return True


contents = st.lists(st.integers(0, 5), min_size=1, max_size=60)


@given(contents, st.sets(st.integers(0, 59)), st.integers(1, 20), st.integers(1, 4), st.sampled_from([400, 413, 422]))
@settings(max_examples=60, deadline=None)
def test_halving_finds_exactly_the_events_that_are_refused(
    lanes: list[int], poison: set[int], batch: int, in_flight: int, status: int
) -> None:
    def partner(parcel: Parcel) -> Answer:
        return Answer(status if any(event.id in poison for event in parcel.events) else 200)

    world = World(policy_with(batch_size=batch, in_flight=in_flight, wait=0.1), partner)
    for number, lane in enumerate(lanes):
        world.dispatch.add(outgoing(number, lane))
    ids = set(range(len(lanes)))
    bad = ids & poison
    world.run_until(lambda: world.dispatch.is_idle or world.now > 300)
    assert len(world.dead) <= len(world.delivered) + blame.FIRST_CREDIT, "more was given up than the partner took"
    world.dispatch.give_up(len(bad), world.now)  # what is left over without anything that the partner takes
    world.run()
    assert set(world.dead) == bad
    assert set(world.delivered) == ids - bad
    assert max(Counter(world.dead).values(), default=1) == max(world.delivered.values(), default=1) == 1
    assert order_holds(world)


@given(contents, st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**32), st.floats(0, 0.6))
def test_whatever_the_partner_does_every_event_arrives_or_is_a_dead_letter_and_contents_keep_their_order(
    lanes: list[int], batch: int, in_flight: int, seed: int, share: float
) -> None:
    luck = random.Random(seed)
    bad: list[Answer | NoAnswer] = [Answer(status) for status in (500, 302, 401, 422)]
    bad += [Answer(503, "2"), Answer(429, "1"), NoAnswer("closed")]

    def partner(parcel: Parcel) -> Answer | NoAnswer:
        if luck.random() >= share:
            return Answer(200)
        return luck.choice(bad)

    world = World(policy_with(batch_size=batch, in_flight=in_flight, retry=60), partner, seed)
    for number, lane in enumerate(lanes):
        world.dispatch.add(outgoing(number, lane))
        world.step()
    world.run()
    assert {*world.delivered, *world.dead} == set(range(len(lanes)))
    assert not set(world.delivered) & set(world.dead)
    assert order_holds(world)
    assert world.dispatch.held.events == world.dispatch.held.bytes == 0


def test_an_outage_costs_one_request_every_few_seconds_and_no_dead_letter_however_long_it_lasts() -> None:
    policy = policy_with(batch_size=10, in_flight=4, retry=60, opens_after=5, probe=5)
    world = World(policy, lambda parcel: NoAnswer("refused"))
    for number in range(1000):
        world.dispatch.add(outgoing(number, number % 50))
    while world.now < 7200:
        world.step()
    assert len(world.sent) <= 5 + policy.in_flight + 7200 / 5
    assert world.dispatch.breaker is not BreakerState.CLOSED
    assert not world.dead
    world.partner = lambda parcel: Answer(200)
    began = world.now
    world.run()
    assert set(world.delivered) == set(range(1000))
    assert world.now - began < 10
    assert order_holds(world)


def test_an_event_that_breaks_the_partner_is_found_and_the_others_do_not_wait_for_its_time_to_pass() -> None:
    """Status 500 for every array with event 77: the others arrive within seconds, and in the end it is a letter."""
    policy = policy_with(batch_size=200, in_flight=4, retry=600)
    world = World(policy, lambda parcel: Answer(500 if 77 in {event.id for event in parcel.events} else 200))
    for number in range(200):
        world.dispatch.add(outgoing(number, number))
    while len(world.delivered) < 199:
        world.step()
    assert world.now < 60
    assert not world.dead
    while not world.dispatch.is_idle:
        world.dispatch.add(outgoing(1000 + len(world.sent), "other", world.now))
        world.step()
        assert world.now < 10_000
        if world.dead:
            world.run()
    assert world.dead == [77]
    assert world.now >= 600


def test_an_event_that_breaks_the_partner_does_not_keep_the_breaker_open_for_the_others() -> None:
    world = World(policy_with(in_flight=4, wait=0), lambda parcel: Answer(500 if parcel.events[0].id == 77 else 200))
    world.dispatch.add(outgoing(77, "broken"))
    while world.dispatch.breaker is BreakerState.CLOSED:
        world.step()
    for number in range(20):
        began = world.now
        world.dispatch.add(outgoing(number, "others", began))
        while not world.delivered[number]:
            world.step()
        assert world.now - began < 11
        world.now += 20


def test_time_of_an_outage_is_not_counted() -> None:
    policy = policy_with(batch_size=1, in_flight=1, retry=100, opens_after=2, probe=5)
    world = World(policy, lambda parcel: NoAnswer("down") if world.now < 5000 else Answer(500))
    world.dispatch.add(outgoing(1, "a"))
    while world.now < 5000:
        world.step()
    assert not world.dead
    world.partner = lambda parcel: Answer(200)
    world.run()
    assert world.delivered == {1: 1}


def test_what_is_for_a_person_stops_everything_until_it_is_put_right() -> None:
    world = World(policy_with(batch_size=10, in_flight=4), lambda parcel: Answer(401))
    for number in range(100):
        world.dispatch.add(outgoing(number, number))
    while world.now < 1000:
        world.step()
        assert "credentials" in world.dispatch.blame.stopped
    assert len(world.sent) <= 4 + 1000 / LOOK_AGAIN_SECONDS
    assert not world.dead
    world.partner = lambda parcel: Answer(204)
    world.run()
    assert not world.dispatch.blame.stopped
    assert set(world.delivered) == set(range(100))


def test_the_partners_patience_is_kept() -> None:
    answers = iter([Answer(429, "30"), Answer(200)])
    world = World(policy_with(batch_size=1, wait=0), lambda parcel: next(answers))
    world.dispatch.add(outgoing(1, "a"))
    world.run()
    assert 30 <= world.now < 34


def test_rates_are_kept() -> None:
    world = World(policy_with(batch_size=50, in_flight=4, events_per_second=100), lambda parcel: Answer(200))
    for number in range(1000):
        world.dispatch.add(outgoing(number, number))
    world.run(100_000)
    assert 8.4 <= world.now <= 10.5
    slow = World(policy_with(batch_size=1, in_flight=4, wait=0, requests_per_second=10), lambda parcel: Answer(200))
    for number in range(100):
        slow.dispatch.add(outgoing(number, number))
    slow.run(100_000)
    assert 8.9 <= slow.now <= 10.1


def test_an_array_waits_for_others_only_so_long() -> None:
    dispatch = Dispatch(policy_with(batch_size=3, wait=0.1))
    dispatch.add(outgoing(1, "a", arrived=5.0))
    assert dispatch.next(5.05, AT) is None
    assert next_due(dispatch, 5.05) == 0.1 - 0.05 or abs((next_due(dispatch, 5.05) or 0) - 0.05) < 1e-9
    early = dispatch.next(5.11, AT)
    assert early is not None
    dispatch.add(outgoing(2, "b", arrived=6.0))
    dispatch.add(outgoing(3, "c", arrived=6.0))
    dispatch.add(outgoing(4, "d", arrived=6.0))
    full = dispatch.next(6.0, AT)
    assert full is not None
    assert [event.id for event in full.events] == [2, 3, 4]


def test_an_event_that_a_firewall_forbids_is_found_and_the_others_go_on() -> None:
    world = World(
        policy_with(batch_size=8, wait=0.0),
        lambda parcel: Answer(403) if any(event.id == 13 for event in parcel.events) else Answer(200),
    )
    for number in range(400):
        world.dispatch.add(outgoing(number, number, world.now))
        world.step()
        world.now += LOOK_AGAIN_SECONDS / 20
    world.run()
    assert world.dead == [13]
    assert sorted(world.delivered) == [number for number in range(400) if number != 13]
    assert sum(13 in sent for sent in world.sent) < 10


def test_credentials_that_are_refused_bury_nothing_however_long() -> None:
    world = World(policy_with(batch_size=1, wait=0.0), lambda parcel: Answer(401 if parcel.events[0].id % 2 else 200))
    for number in range(40):
        world.dispatch.add(outgoing(number, number))
    for _ in range(2_000):
        world.step()
    assert world.dead == []


def test_patience_that_is_asked_for_has_an_end() -> None:
    answers = iter([Answer(503, "31536000")])
    world = World(policy_with(wait=0.0), lambda _: next(answers, Answer(200)))
    world.dispatch.add(outgoing(1, 1))
    world.run()
    assert world.delivered == {1: 1}
    assert world.now < 2 * MAX_RETRY_AFTER_SECONDS


def test_a_partner_that_asks_for_patience_gets_it_also_when_the_time_of_the_events_is_over() -> None:
    """It takes nothing for longer than an event is tried: no event's fault, so none is given up."""
    world = World(policy_with(batch_size=64, wait=0.0, retry=100), lambda _: Answer(429, "60"))
    for number in range(64):
        world.dispatch.add(outgoing(number, number))
    minutes: Counter[int] = Counter()
    while world.now < 3_600:
        before = len(world.sent)
        world.step()
        minutes[int(world.now // 60)] += len(world.sent) - before
    assert len(world.dead) <= blame.FIRST_CREDIT
    assert world.dispatch.blame.is_refusing
    assert max(minutes.values()) <= 64
    world.partner = lambda _: Answer(200)
    world.run()
    assert {*world.delivered, *world.dead} == set(range(64))


# A partner that refuses everything


@given(
    st.sampled_from([400, 402, 406, 409, 413, 415, 422, 426, 451]),
    st.integers(1, 200),
    st.integers(1, 8),
    st.integers(1, 50),
)
@settings(max_examples=30, deadline=None)
def test_a_partner_that_refuses_everything_gets_no_event_buried_and_few_requests(
    status: int, batch: int, in_flight: int, contents: int
) -> None:
    world = World(policy_with(batch_size=batch, in_flight=in_flight, wait=0), lambda _: Answer(status))
    for number in range(1_000):
        world.dispatch.add(outgoing(number, number % contents))
    while world.now < 600:
        world.step()
    assert len(world.dead) <= blame.FIRST_CREDIT
    assert world.dispatch.blame.is_refusing
    assert world.dispatch.blame.stopped == f"status {status}"
    assert len(world.sent) < 30 + in_flight + 600 / LOOK_AGAIN_SECONDS
    world.partner = lambda _: Answer(200)
    began = world.now
    world.run()
    assert {*world.delivered, *world.dead} == set(range(1_000))
    assert len(world.dead) <= blame.FIRST_CREDIT
    assert world.now - began < 2 * LOOK_AGAIN_SECONDS + 15
    assert not world.dispatch.blame.is_refusing
    assert order_holds(world)


@pytest.mark.parametrize("batch", [1, 20, 200])
def test_a_partner_that_begins_to_refuse_everything_gets_some_events_buried_at_most(batch: int) -> None:
    world = World(policy_with(batch_size=batch, in_flight=8, wait=0), lambda _: Answer(200))
    for number in range(1_000):
        world.dispatch.add(outgoing(number, number % 50))
    world.run()
    world.partner = lambda _: Answer(422)
    for number in range(1_000, 3_000):
        world.dispatch.add(outgoing(number, number % 50))
    while world.now < 600:
        world.step()
    assert len(world.dead) <= blame.MAX_CREDIT
    assert world.dispatch.blame.is_refusing
    world.partner = lambda _: Answer(200)
    world.run()
    assert set(world.delivered) | set(world.dead) == set(range(3_000))
    assert order_holds(world)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.45])
def test_poison_up_to_a_large_part_is_buried_without_a_standstill(share: float) -> None:
    luck = random.Random(7)
    poison = {number for number in range(5_000) if luck.random() < share}
    world = World(
        policy_with(batch_size=50, in_flight=4, wait=0),
        lambda parcel: Answer(422) if any(event.id in poison for event in parcel.events) else Answer(200),
    )
    for number in range(5_000):
        world.dispatch.add(outgoing(number, number % 300))
    world.run(200_000)
    assert set(world.dead) == poison
    assert set(world.delivered) == set(range(5_000)) - poison
    assert world.now < 0.011 * len(world.sent) + (5 if share < 0.4 else 120)


def test_an_operator_can_let_what_is_refused_become_dead_letters() -> None:
    world = World(policy_with(batch_size=10, in_flight=4, wait=0), lambda _: Answer(422))
    for number in range(100):
        world.dispatch.add(outgoing(number, number % 10))
    while world.now < 60:
        world.step()
    assert len(world.dead) <= blame.FIRST_CREDIT
    decided = len(world.dead) + 60
    world.dispatch.give_up(60, world.now)
    began = world.now
    world.run_until(lambda: len(world.dead) == decided)
    assert world.now - began < 5
    while world.now < 600:
        world.step()
    assert len(world.dead) == decided, "no more than was decided"
    assert world.dispatch.blame.is_refusing
    world.partner = lambda _: Answer(200)
    world.run()
    assert len(world.delivered) == 100 - decided


@pytest.mark.parametrize("answer", [Answer(401), Answer(500), Answer(302), Answer(429)])
def test_an_operator_can_give_up_what_is_answered_with_any_failure(answer: Answer) -> None:
    """Also where nothing but events that break the partner is left, which looks like a partner that is down."""
    world = World(policy_with(batch_size=10, in_flight=4, wait=0), lambda _: answer)
    for number in range(30):
        world.dispatch.add(outgoing(number, number % 10))
    while world.now < 60:
        world.step()
    assert len(world.dead) <= blame.FIRST_CREDIT
    world.dispatch.give_up(30, world.now)
    world.run_until(lambda: len(world.dead) == 30)


def test_an_outage_does_not_use_up_what_an_operator_decided() -> None:
    world = World(policy_with(batch_size=10, wait=0), lambda _: NoAnswer("refused"))
    for number in range(30):
        world.dispatch.add(outgoing(number, number))
    world.dispatch.give_up(30, 0.0)
    while world.now < 600:
        world.step()
    assert not world.dead


# Tries that are counted over several runs


def test_the_time_of_earlier_runs_counts() -> None:
    """Each run is shorter than the time for which an event is tried; what is told of the tries is handed on."""
    policy = policy_with(batch_size=20, in_flight=4, retry=300, opens_after=50)
    tried: dict[tuple[str, int, int], Tried] = {}
    dead: list[Failed] = []
    runs = 0
    while not dead:
        world = World(policy, lambda parcel: Answer(500 if 7 in {event.id for event in parcel.events} else 200))
        for number in range(20):
            event = outgoing(number, number)
            if runs == 0 or number == 7:
                world.dispatch.add(replace(event, tried=tried.get(event.record_position)))
        number = 100
        while world.now < 100 and not dead:
            world.dispatch.add(outgoing(number := number + 1, number, world.now))
            world.step()
            dead = world.failed
        tried = world.dispatch.tried(world.now)
        assert dead or set(tried) == {("events", 0, 7)}
        runs += 1
        assert runs < 10
    assert [failed.event.id for failed in dead] == [7]
    assert runs in (3, 4)
    assert dead[0].first_try == AT


def test_what_was_never_tried_in_vain_is_not_told_of() -> None:
    world = World(policy_with(batch_size=5, in_flight=1), lambda _: Answer(200))
    for number in range(20):
        world.dispatch.add(outgoing(number, number))
    world.run()
    assert world.dispatch.tried(world.now) == {}
