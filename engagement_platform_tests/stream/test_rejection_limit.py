"""The limit of one loop over attempts: what counts once, and for how long it says why the loop stopped."""

import pytest

from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.rejections import FIRST_ALLOWED, Judged
from engagement_platform.stream.rejection_limit import RejectionLimit, rejection_limit
from engagement_platform_tests.partner import partner_settings

FEW = Judged({0: FIRST_ALLOWED - 1, 1: 5}, {0: range(FIRST_ALLOWED - 1)})
MANY = Judged({0: 50, 1: 5}, {0: range(50)})


@pytest.fixture
def limit() -> RejectionLimit:
    """A limit whose database does not answer: nobody has decided anything then."""
    return RejectionLimit(partner_settings("http://127.0.0.1:1"), "stage")


def test_what_is_tried_again_counts_once(limit: RejectionLimit) -> None:
    for _ in range(10):
        limit.require(FEW, "no id")
    limit.done()
    with pytest.raises(StreamStopped, match=f"after {FIRST_ALLOWED - 1} that it has given up"):
        limit.require(FEW, "no id")


def test_it_says_why_until_messages_of_what_stopped_it_are_handled(limit: RejectionLimit) -> None:
    assert limit.state(7) is None
    with pytest.raises(StreamStopped, match=r"stage rejects 50 of the 55 messages in hand; the first: no id\."):
        limit.require(MANY, "no id")
    limit.require(Judged({1: 3}))
    limit.done()
    state = limit.state(None)
    assert state is not None, "another partition went on, which is no sign that it is over"
    assert (state.kind, "give-up stage" in state.remedy) == (Activity.STOPPED, True)
    assert limit.state(0) is None, "nothing waits"
    limit.require(Judged({0: 50}))
    limit.done()
    assert limit.state(7) is None


def test_a_stop_costs_nothing_however_often_it_is_looked_again(limit: RejectionLimit) -> None:
    for _ in range(5):
        with pytest.raises(StreamStopped, match="messages in hand;"):
            limit.require(MANY)
    limit.require(FEW)


def test_nothing_is_given_back_where_nothing_was_granted() -> None:
    with rejection_limit(partner_settings("http://127.0.0.1:1"), "tally") as limit:
        limit.require(FEW)
        limit.done()
