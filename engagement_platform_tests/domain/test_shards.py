"""Who reads which partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.shards import WHOLE, Shard, shards_of


@given(partitions=st.sets(st.integers(0, 500)), number=st.integers(1, 64))
def test_each_partition_has_one_owner(partitions: set[int], number: int) -> None:
    owned = [shard.owned(partitions) for shard in shards_of(number)]
    assert sorted(partition for one in owned for partition in one) == sorted(partitions)


@given(before=st.integers(1, 50), more=st.integers(0, 50), number=st.integers(1, 64))
def test_partitions_that_are_added_change_no_owner_of_those_before(before: int, more: int, number: int) -> None:
    for shard in shards_of(number):
        assert shard.owned(range(before)) == {p for p in shard.owned(range(before + more)) if p < before}


@given(partitions=st.sets(st.integers(0, 500)))
def test_a_single_shard_has_all_and_the_names_of_the_stream(partitions: set[int]) -> None:
    assert WHOLE.owned(partitions) == partitions
    assert WHOLE.named("stage") == "stage"


def test_each_shard_has_a_name_of_its_own() -> None:
    assert [shard.named("stage") for shard in shards_of(3)] == ["stage", "stage-1", "stage-2"]


@pytest.mark.parametrize(("index", "of"), [(1, 1), (-1, 2), (0, 0)])
def test_there_is_no_shard_beyond_the_number(index: int, of: int) -> None:
    with pytest.raises(ValueError, match="no shard"):
        Shard(index, of)
