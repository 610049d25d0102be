from collections.abc import Collection

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.windows import Adds
from engagement_platform.local.demo.compare import (
    KeyDifference,
    TopicDifference,
    compare_ids,
    compare_views,
    events_off,
    total,
)

IDS = st.sets(st.integers(1, 300_000), max_size=60)


def compared(
    source: Collection[int], topic: Collection[int], dead: set[int] | None = None, first_id: int = 0
) -> TopicDifference:
    return compare_ids(np.array([*source], np.int64), np.array([*topic], np.int64), dead or set(), first_id)


@given(IDS, IDS, IDS, IDS)
def test_planted_loss_and_doubling_are_found_by_id(
    ids: set[int], lost: set[int], doubled: set[int], dead: set[int]
) -> None:
    doubled &= ids
    lost = (lost & ids) - doubled
    dead = dead & lost
    topic = [*(ids - lost), *doubled]
    found = compared(ids, topic, dead)
    assert set(found.lost) == lost - dead
    assert set(found.doubled) == doubled
    assert found.unknown == ()


@given(IDS)
def test_a_topic_with_everything_once_has_no_difference(ids: set[int]) -> None:
    assert compared(ids, sorted(ids, reverse=True)) == TopicDifference()


def test_what_only_the_topic_has_is_unknown() -> None:
    assert compared({1, 2}, [1, 2, 3]).unknown == (3,)


def test_many_repeats_do_not_wrap_around() -> None:
    assert compared({5}, [5] * 256).doubled == (5,)
    assert compared({5}, [5] * 257).doubled == (5,)


def test_what_has_expired_is_not_compared() -> None:
    assert compared([1, 2, 3], [3], first_id=3) == TopicDifference()


def views(**changes: list[int]) -> Adds:
    return {"content": {"a": [3, 900], "b": [1, 0], **changes}, "device": {"ios": [4, 900]}}


def test_equal_views_have_no_difference() -> None:
    assert compare_views(views(), views()) == []
    assert compare_views(views(), views(c=[0, 0])) == []


def test_an_event_that_is_missing_in_one_key_is_lost() -> None:
    differences = compare_views(views(), views(a=[2, 400]))
    assert differences == [KeyDifference("content", "a", (3, 900), (2, 400))]
    assert events_off(differences) == (1, 0)


def test_a_key_that_is_missing_is_lost_as_a_whole() -> None:
    found = views()
    del found["content"]["a"]
    assert events_off(compare_views(views(), found)) == (3, 0)


def test_an_event_that_is_counted_twice_is_doubled() -> None:
    assert events_off(compare_views(views(), views(b=[2, 0]))) == (0, 1)
    assert events_off(compare_views(views(), views(stranger=[5, 5]))) == (0, 5)


def test_milliseconds_alone_count_too() -> None:
    assert events_off(compare_views(views(), views(a=[3, 899]))) == (1, 0)
    assert events_off(compare_views(views(), views(a=[3, 901]))) == (0, 1)


def test_one_event_that_is_lost_in_every_dimension_is_one_event() -> None:
    found: Adds = {"content": {"a": [2, 900], "b": [1, 0]}, "device": {"ios": [3, 900]}}
    assert events_off(compare_views(views(), found)) == (1, 0)


def test_loss_and_doubling_do_not_cancel_out() -> None:
    assert events_off(compare_views(views(), views(a=[2, 900], b=[2, 0]))) == (1, 1)


def test_the_total_counts_each_event_once() -> None:
    assert total(views()) == 4
