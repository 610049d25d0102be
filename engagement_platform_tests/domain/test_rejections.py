"""The rule that tells a single bad message from a deploy that breaks them all."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.rejections import (
    ACCEPTED_FOR_ONE,
    FIRST_ALLOWED,
    MAX_IN_A_ROW,
    Allowance,
    Judged,
    Rejections,
    too_many,
)

Batch = dict[int, list[bool]]
"""Lane -> whether each of its messages is accepted, in their order."""

batches = st.lists(
    st.dictionaries(st.integers(0, 2), st.lists(st.booleans(), min_size=1, max_size=40), max_size=3), max_size=30
)
mostly_good = st.lists(
    st.dictionaries(st.integers(0, 2), st.lists(st.integers(0, 9).map(bool), min_size=1, max_size=90), max_size=3),
    max_size=30,
)


def judged(batch: Batch) -> Judged:
    rejected = {lane: [at for at, good in enumerate(verdicts) if not good] for lane, verdicts in batch.items()}
    return Judged({lane: len(verdicts) for lane, verdicts in batch.items()}, {k: v for k, v in rejected.items() if v})


def handled(rejections: Rejections, made: Iterable[Batch]) -> tuple[Rejections, list[Batch]]:
    """Return what is true after the batches, each handled when it may be, and those that were."""
    done = []
    for batch in made:
        if (after := rejections.after(judged(batch))) is not None:
            rejections = after
            done.append(batch)
    return rejections, done


@given(st.one_of(batches, mostly_good), st.integers(0, 30))
def test_what_is_given_up_is_bounded_by_what_was_accepted_and_in_each_lane_in_a_row(
    made: list[Batch], granted: int
) -> None:
    rejections, done = handled(Rejections().grant(granted), made)
    verdicts = [good for batch in done for lane in batch.values() for good in lane]
    given_up = verdicts.count(False)
    assert rejections.given_up == given_up
    assert given_up <= FIRST_ALLOWED + granted + verdicts.count(True) / ACCEPTED_FOR_ONE
    lanes: dict[int, list[bool]] = defaultdict(list)
    for batch in done:
        for lane, of_lane in batch.items():
            lanes[lane] += of_lane
    for of_lane in lanes.values():
        runs = "".join("ab"[good] for good in of_lane).split("b")
        assert max(map(len, runs)) <= MAX_IN_A_ROW + granted


@given(batches)
def test_what_is_accepted_is_never_refused_however_much_was_rejected_before(made: list[Batch]) -> None:
    """So the loop goes on after the fix: the messages over the limit are accepted then."""
    rejections, _ = handled(Rejections(), made)
    for batch in made:
        fixed = {lane: [True] * len(verdicts) for lane, verdicts in batch.items()}
        after = rejections.after(judged(fixed))
        assert after is not None
        rejections = after


@given(st.lists(st.integers(ACCEPTED_FOR_ONE, 50), max_size=200), st.integers(1, 3))
def test_a_poison_message_among_others_never_stops_it(distances: list[int], lanes: int) -> None:
    rejections = Rejections()
    for number, distance in enumerate(distances):
        after = rejections.after(judged({number % lanes: [*[True] * distance, False]}))
        assert after is not None
        rejections = after
    assert rejections.given_up == len(distances)


def test_one_alone_is_given_up() -> None:
    assert Rejections().after(judged({0: [False]})) is not None


@given(st.integers(1, 200))
def test_when_all_are_rejected_it_stops_however_they_come(size: int) -> None:
    """A trickle of single ones, or many at once: of those over the limit none is given up."""
    rejections, done = handled(Rejections(), [{0: [False] * size}] * 200)
    assert rejections.given_up == len(done) * size <= FIRST_ALLOWED


def test_a_lane_whose_messages_are_all_rejected_stops_it_while_others_work() -> None:
    rejections, done = handled(Rejections(), [{0: [True] * 100, 1: [False]}] * 100)
    assert rejections.given_up == len(done) == MAX_IN_A_ROW


@given(batches)
def test_what_was_granted_is_used_for_what_is_over_the_limit_only(made: list[Batch]) -> None:
    without, done = handled(Rejections(), made)
    assert handled(Rejections().grant(1_000), done)[0] == without.grant(1_000)


@given(st.integers(0, 20), st.integers(1, 9), st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=50))
def test_an_allowance_is_never_above_its_most_and_counts_what_was_accepted_exactly(
    first: int, for_one: int, steps: list[tuple[int, bool]]
) -> None:
    allowance, tenths = Allowance(first, 20, for_one), first * for_one
    for accepted, is_rejected in steps:
        allowance = allowance.accept(accepted)
        tenths = min(20 * for_one, tenths + accepted)
        assert allowance.left == tenths // for_one <= 20
        if is_rejected and not allowance.is_spent:
            allowance, tenths = allowance.reject(), tenths - for_one


def test_it_says_how_many_and_why_and_what_to_do() -> None:
    error = too_many("stage", judged({0: [True, False], 1: [False]}), "not an event: no id", 10)
    assert "2 of the 3 messages" in error.what
    assert "after 10" in error.what
    assert "not an event: no id" in error.what
    assert "engagement-platform give-up stage" in error.todo
    assert Counter(error.what)["\n"] == 0
