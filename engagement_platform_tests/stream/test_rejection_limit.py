"""The limit of one loop over attempts: what counts once, and for how long it says why the loop stopped."""

from random import Random

import pytest

from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.rejections import ACCEPTED_FOR_ONE, FIRST_ALLOWED, Judged
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream import rejection_limit as rejection_limit_module
from engagement_platform.stream.rejection_limit import RejectionLimit, rejection_limit
from engagement_platform_tests.conftest import make_settings
from engagement_platform_tests.faults.databases import shut
from engagement_platform_tests.partner import partner_settings

FEW = Judged({0: FIRST_ALLOWED - 1, 1: 5}, {0: range(FIRST_ALLOWED - 1)})
MANY = Judged({0: 50, 1: 5}, {0: range(50)})


@pytest.fixture
def platform(stack: Endpoints, platform_db: str) -> Settings:
    return make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", platform_db)


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


BAD = Judged({0: 1}, {0: [0]})


def given_up(limit: RejectionLimit, *messages: Judged) -> int:
    """Return how many messages a limit lets a loop give up, one after the other."""
    number = 0
    for judged in messages:
        try:
            limit.require(judged)
        except StreamStopped:
            continue
        limit.done()
        number += judged.rejections
    return number


def test_a_run_begins_with_what_the_runs_before_have_left(platform: Settings) -> None:
    """Drains of a few messages, all of them bad: together they give up no more than one would."""
    numbers = []
    for _ in range(4):
        with rejection_limit(platform, "stage") as limit:
            numbers.append(given_up(limit, *[BAD] * 4))
    assert numbers == [4, 4, FIRST_ALLOWED - 8, 0]
    with rejection_limit(platform, "tally") as limit:
        assert given_up(limit, BAD) == 1, "another loop has its own"
    with rejection_limit(platform, "stage") as limit:
        assert given_up(limit, Judged({0: ACCEPTED_FOR_ONE}), BAD, BAD) == 1
    for accepted in (4, 5):
        with rejection_limit(platform, "stage") as limit:
            assert given_up(limit, Judged({0: accepted})) == 0
    with rejection_limit(platform, "stage") as limit:
        assert given_up(limit, BAD, BAD) == 1, "what two runs have accepted"


@pytest.mark.parametrize("seed", range(5))
def test_many_runs_give_up_what_one_would(platform: Settings, seed: int) -> None:
    random = Random(seed)
    messages = [BAD if random.random() < 0.2 else Judged({0: random.randint(1, 12)}) for _ in range(120)]
    alone = given_up(RejectionLimit(partner_settings("http://127.0.0.1:1"), "stage"), *messages)
    together = 0
    while messages:
        some = random.randint(1, 20)
        with rejection_limit(platform, "stage") as limit:
            together += given_up(limit, *messages[:some])
        messages = messages[some:]
    assert together == alone


def test_a_run_that_is_killed_has_counted_what_it_was_about_to_give_up(platform: Settings) -> None:
    RejectionLimit(platform, "stage").require(FEW)
    with rejection_limit(platform, "stage") as limit:
        assert given_up(limit, BAD, BAD) == 1


def test_without_the_database_a_run_has_the_first_few_and_takes_up_later_what_there_is(
    platform: Settings, stack: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejection_limit_module, "_ASK_SECONDS", 0.0)
    with rejection_limit(platform, "stage") as limit:
        assert given_up(limit, *[BAD] * 7) == 7
    with rejection_limit(platform, "stage") as limit:
        with shut(platform, stack):
            assert given_up(limit, BAD, BAD) == 2
        assert given_up(limit, *[BAD] * 7) == 1, "three were left, and two of them are used up"
