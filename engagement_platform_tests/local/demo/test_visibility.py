import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.local.demo.visibility import Gaps, LastMinute, Latencies, Stamps, Visibility

MS = 10**6
SECOND = 10**9


def test_latency_is_from_the_note_to_the_first_offset_past_the_event() -> None:
    seen = Visibility()
    seen.offset(0, 10, 1 * SECOND)
    seen.note(2 * SECOND, [7])
    seen.message(0, 10, 7)
    seen.offset(0, 10, 2 * SECOND + 5 * MS)
    assert seen.waiting == 1
    seen.offset(0, 11, 2 * SECOND + 9 * MS)
    seen.offset(0, 12, 2 * SECOND + 99 * MS)
    assert seen.waiting == 0
    assert seen.latencies.quantile(1) == 9


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_the_order_of_the_observations_does_not_matter(seed: int, events: int) -> None:
    """Notes, messages and offsets come through three threads; only the offsets of a partition are in order."""
    shuffle = random.Random(seed)
    where = [(shuffle.randrange(3), event_id) for event_id in range(1, events + 1)]
    placed = {event_id: (p, sum(1 for q, _ in where[:i] if q == p)) for i, (p, event_id) in enumerate(where)}
    committed = {event_id: event_id * SECOND for event_id in placed}
    visible = {event_id: committed[event_id] + shuffle.randrange(1, 50) * SECOND for event_id in placed}
    for event_id, (partition, offset) in placed.items():  # an offset is passed with all before it
        behind = [e for e, (p, o) in placed.items() if p == partition and o < offset]
        visible[event_id] = max([visible[event_id], *(visible[e] for e in behind)])

    def moves(partition: int) -> list[tuple[str, int, int, int]]:
        mine = sorted((o, e) for e, (p, o) in placed.items() if p == partition)
        return [("offset", partition, offset + 1, visible[event_id]) for offset, event_id in mine]

    streams = [moves(p) for p in range(3)]
    streams.append([("note", e, 0, 0) for e in shuffle.sample(sorted(placed), events)])
    # The reader of the topic hands over each partition in order.
    streams += [
        [("message", p, o, e) for o, e in sorted((o, e) for e, (q, o) in placed.items() if q == p)] for p in range(3)
    ]
    seen = Visibility()
    while any(streams):
        kind, a, b, c = shuffle.choice([stream for stream in streams if stream]).pop(0)
        if kind == "note":
            seen.note(committed[a], [a])
        elif kind == "message":
            seen.message(a, b, c)
        else:
            seen.offset(a, b, c)
    expected = Latencies()
    for event_id in placed:
        expected.add((visible[event_id] - committed[event_id]) / MS)
    assert seen.waiting == seen.unpublished == 0
    assert seen.noted == seen.in_kafka == seen.in_redis == events
    assert [seen.latencies.quantile(q) for q in (0.01, 0.5, 0.99, 1)] == [
        expected.quantile(q) for q in (0.01, 0.5, 0.99, 1)
    ]
    assert seen.slowest[-1][0] == expected.quantile(1)


def test_an_event_that_never_comes_waits() -> None:
    seen = Visibility()
    seen.note(1, [1, 2])
    seen.message(0, 0, 1)
    seen.offset(0, 5, 9)
    assert (seen.waiting, seen.unpublished, seen.latencies.count) == (1, 1, 1)


def test_events_of_other_programs_are_counted_but_not_measured() -> None:
    seen = Visibility()
    seen.message(0, 0, 99)
    seen.offset(0, 1, 5)
    assert (seen.in_kafka, seen.in_redis, seen.latencies.count, seen.waiting) == (1, 1, 0, 0)


def test_views_that_are_built_anew_do_not_move_time_back() -> None:
    stamps = Stamps()
    assert stamps.move(10, 1) == []
    assert stamps.move(4, 2) == []
    assert stamps.passed_at(7, 1) == 1


@given(st.lists(st.floats(0, 10_000), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_right_to_a_tenth(values: list[float], share: float) -> None:
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    rank = -(-len(values) * share // 1)
    assert latencies.quantile(share) == pytest.approx(sorted(values)[int(rank) - 1], abs=0.051)


def test_only_what_is_longer_than_the_promise_is_late() -> None:
    latencies = Latencies()
    for value in (4_999, 5_000, 5_001):
        latencies.add(value)
    assert latencies.above(5_000) == 1


def test_the_last_minute_forgets() -> None:
    minute = LastMinute()
    minute.add(10 * SECOND, 500)
    minute.add(65 * SECOND, 20)
    assert minute.at(66 * SECOND).count == 2
    assert minute.at(80 * SECOND).quantile(1) == 20
    assert minute.at(500 * SECOND).quantile(0.5) is None


def test_a_gap_counts_only_while_something_waits() -> None:
    gaps = Gaps()
    gaps.add(1 * SECOND, 1 * SECOND + 10 * MS)
    gaps.add(9 * SECOND, 9 * SECOND + 20 * MS)  # nothing was committed for eight seconds
    gaps.add(9 * SECOND, 9 * SECOND + 300 * MS)
    assert gaps.longest_ms() == 280


def test_the_gap_before_the_first_event_counts() -> None:
    gaps = Gaps()
    gaps.add(1 * SECOND, 3 * SECOND)
    assert gaps.longest_ms() == 2_000
