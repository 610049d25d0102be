import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.local.generator.writer import CATCH_UP_SECONDS, Pacer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(1, 500), min_size=20, max_size=200), st.sampled_from([200, 1_000, 5_000]))
def test_the_rate_is_kept_whatever_the_sizes(sizes: list[int], rate: int) -> None:
    clock = Clock()
    pacer = Pacer(rate, clock)
    for size in sizes:
        clock.now += pacer.reserve(size)
    assert clock.now - 100 == pytest.approx(sum(sizes[:-1]) / rate)


def test_a_late_writer_makes_up_for_it() -> None:
    clock = Clock()
    pacer = Pacer(10, clock)
    pacer.reserve(1)
    clock.now += 1
    assert [pacer.reserve(1) for _ in range(10)] == pytest.approx([0] * 10)
    assert pacer.reserve(1) == pytest.approx(0.1)


def test_an_outage_is_not_followed_by_a_flood() -> None:
    clock = Clock()
    pacer = Pacer(100, clock)
    clock.now += 3_600
    at_once = 0
    while pacer.reserve(1) == 0:
        at_once += 1
    assert at_once <= CATCH_UP_SECONDS * 100 + 1


def test_what_was_not_committed_is_written_again() -> None:
    clock = Clock()
    pacer = Pacer(100, clock)
    pacer.reserve(50)
    pacer.give_back(50)
    assert pacer.reserve(1) == 0
