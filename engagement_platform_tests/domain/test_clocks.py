"""What messages tell of Kafka's clock, against a simulated log whose clock is known."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.clocks import UNKNOWN, Between, Clocks, KafkaClock, apart_ms, compare

TRANSACTION_MS = 10_000
OFFSET_MS = 1_767_268_800_000
"""Kafka's clock when the steady one stands at 0."""


@dataclass(frozen=True)
class Poll:
    after: float
    """Seconds since the poll before."""
    age: float | None
    """Of the newest message, at most the time since the end was seen and the longest transaction; None: no message."""
    at_end: bool


polls = st.builds(Poll, st.floats(0, 600), st.none() | st.floats(0, 1), st.booleans())


@given(st.lists(polls, max_size=20), st.floats(0, 3_600))
def test_kafkas_clock_always_lies_between(steps: list[Poll], later: float) -> None:
    clock, now, end_seen = KafkaClock(TRANSACTION_MS), 0.0, None
    for step in steps:
        now += step.after
        arrived = None
        if step.age is not None:
            oldest = 7_200.0 if end_seen is None else now - end_seen + TRANSACTION_MS / 1000
            arrived = OFFSET_MS + int((now - step.age * oldest) * 1000)
        clock.polled(arrived, now, at_end=step.at_end)
        end_seen = now if step.at_end else None
    known, truth = clock.between(now + later), OFFSET_MS + (now + later) * 1000
    assert known.at_least_ms is None or known.at_least_ms <= truth + 2
    assert known.at_most_ms is None or known.at_most_ms >= truth - 2


def test_a_backlog_tells_nothing_of_an_upper_bound() -> None:
    clock = KafkaClock(TRANSACTION_MS)
    clock.polled(None, 0.0, at_end=True)
    clock.moved()
    clock.polled(OFFSET_MS - 3_600_000, 1.0, at_end=True)
    assert clock.between(1.0) == Between(OFFSET_MS - 3_600_000, None)


def test_a_message_after_the_end_bounds_from_both_sides_until_it_is_doubted() -> None:
    clock = KafkaClock(TRANSACTION_MS)
    clock.polled(None, 5.0, at_end=True)
    clock.polled(OFFSET_MS, 6.0, at_end=False)
    assert clock.between(7.0) == Between(OFFSET_MS + 1_000, OFFSET_MS + 12_000)
    clock.doubt()
    assert clock.between(7.0) == Between(OFFSET_MS + 1_000, None)


@pytest.mark.parametrize(
    ("redis_ms", "verdict", "apart"),
    [
        (700_000, Clocks.BEHIND, -300_000),
        (990_000, Clocks.AGREE, -10_000),
        (1_005_000, Clocks.AGREE, 0),
        (1_020_000, Clocks.AGREE, 10_000),
        (1_310_000, Clocks.AHEAD, 300_000),
    ],
)
def test_how_redis_clock_stands_to_kafkas(redis_ms: int, verdict: Clocks, apart: int) -> None:
    kafka = Between(1_000_000, 1_010_000)
    assert (compare(redis_ms, kafka), apart_ms(redis_ms, kafka)) == (verdict, apart)
    assert (compare(redis_ms, UNKNOWN), apart_ms(redis_ms, UNKNOWN)) == (Clocks.AGREE, 0)
