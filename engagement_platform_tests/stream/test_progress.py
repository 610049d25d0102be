"""What a loop counts of itself."""

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.progress import AS_OF
from engagement_platform.stream.progress import Progress


@given(st.lists(st.floats(0, 1e10), min_size=1))
def test_up_to_when_everything_is_there_never_goes_back(moments: list[float]) -> None:
    """A quiet partition of which Kafka has not said yet that its end was read would make it hours old for a moment."""
    progress = Progress()
    for moment in moments:
        progress.advance(AS_OF, moment)
    assert progress.figures().gauge(AS_OF) == max(moments)
