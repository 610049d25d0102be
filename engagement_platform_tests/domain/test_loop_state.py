"""What a loop is doing, in words and as it is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.errors import Refused, StreamStopped, Unavailable
from engagement_platform.domain.loop_state import Activity, LoopState, from_object, in_words, state_of, to_object

SINCE = "since 1970-01-01 00:00:07 UTC"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (LoopState(Activity.STREAMS, 7), "streams"),
        (LoopState(Activity.STANDS_BY, 7), "stands by"),
        (LoopState(Activity.IDLE, 7, reason="no address"), "idle: no address"),
        (
            state_of(Unavailable("It is away.", server="Redis at h:1"), 7),
            f"waits for Redis at h:1 {SINCE} (It is away)",
        ),
        (state_of(Unavailable("It is away."), 7), f"waits {SINCE}: It is away"),
        (
            state_of(Refused("No such user.", "Check it.", server="Kafka"), 7),
            f"refused by Kafka {SINCE} (No such user). Check it.",
        ),
        (state_of(StreamStopped("It is another.", "Run this."), 7), f"stopped {SINCE}: It is another. Run this."),
    ],
)
def test_words(state: LoopState, words: str) -> None:
    assert in_words(state) == words


@given(
    st.builds(
        LoopState, st.sampled_from(Activity), st.floats(0, 4e9), subject=st.text(), reason=st.text(), remedy=st.text()
    )
)
def test_it_comes_back_as_it_was_kept(state: LoopState) -> None:
    assert from_object(to_object(state)) == state


@pytest.mark.parametrize("kept", [{}, {"kind": "of a later version", "since": 0}, {"kind": "waits", "other": 1}])
def test_what_another_version_kept_is_not_known(kept: dict[str, object]) -> None:
    assert from_object(kept) is None
