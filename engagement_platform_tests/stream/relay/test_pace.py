"""The pauses between polls follow from what a cycle costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.stream.relay.pace import LONGEST_BUSY, SHORTEST_IDLE, Pace


@given(cost=st.floats(0.001, 0.5), others=st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20))
def test_a_busy_relay_rests_for_half_as_long_as_its_cycles_take(cost: float, others: list[tuple[float, bool]]) -> None:
    pace = Pace(0.05)
    for took, has_events in others:
        pause = pace.pause(took, has_events=has_events)
        assert 0 <= pause <= (LONGEST_BUSY if has_events else 0.05)
    for _ in range(100):
        pause = pace.pause(cost, has_events=True)
    assert pause == pytest.approx(min(cost / 2, LONGEST_BUSY), rel=0.01)


def test_one_cycle_that_hangs_does_not_slow_down_those_after_it() -> None:
    pace = Pace(0.05)
    for _ in range(50):
        pace.pause(0.006, has_events=True)
    assert pace.pause(0.030, has_events=True) < 0.005
    assert pace.pause(0.006, has_events=True) < 0.0045


def test_a_relay_without_events_polls_ever_later_and_soon_again_once_there_was_one() -> None:
    pace = Pace(0.05)
    pauses = [pace.pause(0.0005, has_events=False) for _ in range(30)]
    assert pauses[0] == SHORTEST_IDLE
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.05
    pace.pause(0.006, has_events=True)
    assert pace.pause(0.0005, has_events=False) == SHORTEST_IDLE
