import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.ids import IdRange, count, decode, encode, gaps_between, split_after, without

ids = st.sets(st.integers(1, 200))


def ranges_of(members: set[int]) -> tuple[IdRange, ...]:
    top = max(members, default=0)
    return gaps_between(0, [*(i for i in range(1, top + 1) if i not in members), top + 1])


def members_of(ranges: tuple[IdRange, ...]) -> set[int]:
    return {i for r in ranges for i in range(r.first, r.last + 1)}


@given(ids)
def test_gaps_between_are_the_ids_left_out(present: set[int]) -> None:
    top = max(present, default=0)
    assert members_of(gaps_between(0, sorted(present))) == set(range(1, top + 1)) - present


@given(ids, ids)
def test_without_takes_out_exactly_the_ids(held: set[int], taken: set[int]) -> None:
    left = without(ranges_of(held), sorted(taken))
    assert members_of(left) == held - taken
    assert left == tuple(sorted(left))
    assert count(left) == len(held - taken)


@given(ids, st.integers(0, 201))
def test_split_after_parts_at_the_id(held: set[int], last: int) -> None:
    low, high = split_after(ranges_of(held), last)
    assert members_of(low) == {i for i in held if i <= last}
    assert members_of(high) == {i for i in held if i > last}


@given(ids, st.integers(-(2**63), 2**62))
def test_encoding_is_reversible(held: set[int], by: int) -> None:
    ranges = [IdRange(first + by, last + by) for first, last in ranges_of(held)]
    assert list(decode(encode(ranges))) == ranges


@pytest.mark.parametrize("numbers", [[1], [1, -1], [1, 0, -2, 0]])
def test_numbers_that_are_no_ranges_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        decode(numbers)
