from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.coverage import Coverage, Published, advanced, common
from engagement_platform.domain.ids import IdRange, gaps_between


def test_ids_above_and_missing_ones_are_not_covered() -> None:
    coverage = Coverage(10, (IdRange(3, 4), IdRange(8, 8)))
    assert [i for i in range(1, 13) if coverage.covers(i)] == [1, 2, 5, 6, 7, 9, 10]


def test_an_id_that_commits_between_checkpoint_and_snapshot_is_covered() -> None:
    """The rebuilt day holds it, and the relay is still to publish it: else its row would be doubled."""
    assert advanced(Coverage(10, (IdRange(3, 4),)), [4], []) == Coverage(10, (IdRange(3, 3),))


@given(
    published=st.sets(st.integers(1, 40)),
    committed_since=st.sets(st.integers(1, 60)),
    deleted=st.sets(st.integers(1, 40)),
)
def test_the_stream_adds_exactly_what_the_snapshot_did_not_see(
    published: set[int], committed_since: set[int], deleted: set[int]
) -> None:
    """`published` is what the relay had seen; what was deleted since is not in the snapshot and must not come back."""
    hi = max(published, default=0)
    known = Coverage(hi, gaps_between(0, sorted(published)))
    snapshot = (published - deleted) | (committed_since - published)
    found = [i for i in sorted(snapshot) if not known.covers(i) and i <= hi]
    coverage = advanced(known, found, [i for i in sorted(snapshot) if i > hi])
    assert {i for i in range(1, 70) if coverage.covers(i)} == snapshot | published


ids = st.sets(st.integers(1, 40))


def coverage_of(seen: set[int]) -> Coverage:
    return Coverage(max(seen, default=0), gaps_between(0, sorted(seen)))


@given(ids, ids)
def test_what_two_coverages_have_in_common(one: set[int], other: set[int]) -> None:
    both = common(coverage_of(one), coverage_of(other))
    assert {i for i in range(1, 45) if both.covers(i)} == one & other
    assert list(both.missing) == sorted(both.missing)


@given(ids, ids)
def test_what_was_published_since_is_what_is_covered_now_and_was_not_then(then: set[int], more: set[int]) -> None:
    """Also an id below the highest of then: its transaction was open."""
    published = Published(coverage_of(then), coverage_of(then | more))
    assert {i for i in range(1, 45) if published.has(i)} == more - then
