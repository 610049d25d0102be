"""What becomes of a transaction without an end: what was told or seen stays, and what is published again does not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.checkpoint import Checkpoint, SourceIdentity
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.hanging import covers, is_known, is_published
from engagement_platform.domain.ids import IdRange, encode, gaps_between

SOURCE = SourceIdentity("1", 1, "engagement")


def checkpoint(hi: int, *missing: IdRange, generation: int = 0, unseen_at: int = 0) -> Checkpoint:
    return Checkpoint(source=SOURCE, hi=hi, missing=encode(missing), unseen_at=unseen_at, generation=generation)


@given(st.sets(st.integers(1, 60), min_size=1))
def test_a_checkpoint_covers_what_is_published_and_nothing_else(published: set[int]) -> None:
    one = checkpoint(max(published), *gaps_between(0, sorted(published)))
    assert {number for number in range(1, 70) if covers(one, number)} == published


def test_a_relay_that_never_began_has_published_nothing() -> None:
    assert not covers(None, 1)


BEFORE, OPENED = checkpoint(10, IdRange(7, 8)), checkpoint(12, IdRange(8, 8), unseen_at=5)


def test_what_was_told_stays() -> None:
    assert is_known(OPENED, BEFORE, OPENED, ())
    assert is_known(OPENED, BEFORE, checkpoint(12, generation=1), ())
    assert not is_known(OPENED, BEFORE, BEFORE, ())
    assert not is_known(OPENED, BEFORE, None, ())


def test_a_mirror_at_the_same_id_has_not_been_told_of_a_gap_that_was_filled() -> None:
    opened = msgspec.structs.replace(BEFORE, missing=[], unseen_at=5)
    assert not is_known(opened, BEFORE, BEFORE, ())


@pytest.mark.parametrize(
    ("seen", "is_of_it"), [(12, True), (11, True), (7, True), (10, False), (8, False), (13, False)]
)
def test_what_was_seen_stays(seen: int, is_of_it: bool) -> None:
    assert is_known(OPENED, BEFORE, None, [3, seen]) is is_of_it


def test_events_get_the_end_that_leaves_each_published_once() -> None:
    assert is_published("It", [11, 12], OPENED)
    assert not is_published("It", [11, 12], BEFORE)
    assert not is_published("It", [], OPENED)


def test_two_ends_for_one_partition_are_refused() -> None:
    with pytest.raises(StreamStopped, match="It holds events of two transactions"):
        is_published("It", [10, 11], BEFORE)
