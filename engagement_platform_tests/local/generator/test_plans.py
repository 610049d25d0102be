from itertools import islice
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_platform.local.generator.plans import (
    Hold,
    Insert,
    InsertUndone,
    Plan,
    ReserveThenInsert,
    Workload,
    plans,
)
from engagement_platform.local.generator.sessions import Item, Sessions

ITEMS = [Item(str(UUID(int=n)), "video", 60) for n in range(20)]


def first(count: int, workload: Workload) -> list[Plan]:
    random = Random(workload.seed)
    return list(islice(plans(random, Sessions(random, ITEMS, workload.rate), workload), count))


def test_the_same_seed_gives_the_same_transactions() -> None:
    assert first(200, Workload(seed=1)) == first(200, Workload(seed=1))
    assert first(200, Workload(seed=1)) != first(200, Workload(seed=2))


@settings(max_examples=25)
@given(seed=st.integers(0, 1_000), rate=st.sampled_from([1, 200, 1_000, 5_000]), writers=st.integers(1, 16))
def test_plans_are_transactions_that_can_be_carried_out(seed: int, rate: int, writers: int) -> None:
    for plan in first(100, Workload(rate, writers, seed)):
        assert plan.steps
        assert plan.end in ("commit", "rollback")
        for step in plan.steps:
            if isinstance(step, Insert | InsertUndone | ReserveThenInsert):
                assert step.events
        if plan.end == "commit":
            assert plan.kept > 0
        else:
            assert plan.kept == 0


def test_every_way_of_leaving_a_gap_occurs() -> None:
    made = first(5_000, Workload())
    kinds = {type(step) for plan in made for step in plan.steps}
    assert kinds == {Insert, InsertUndone, ReserveThenInsert, Hold}
    assert any(plan.end == "rollback" for plan in made)
    held = [step.seconds for plan in made for step in plan.steps if isinstance(step, Hold | ReserveThenInsert)]
    assert min(held) < 0.1
    assert max(held) > 1


def test_what_is_undone_does_not_count_as_kept() -> None:
    events = tuple(islice(Sessions(Random(1), ITEMS, 10), 5))
    assert Plan((Insert(events), InsertUndone(events), Insert(events[:1]))).kept == 6
    assert Plan((ReserveThenInsert(events, 1),)).kept == 5
    assert Plan((Insert(events),), end="rollback").kept == 0


@pytest.mark.parametrize("rate", [200, 1_000, 5_000])
def test_about_a_hundred_transactions_a_second_of_different_sizes(rate: int) -> None:
    sizes = [plan.kept for plan in first(2_000, Workload(rate)) if plan.kept]
    assert 60 <= rate / (sum(sizes) / len(sizes)) <= 140
    assert len(set(sizes)) > 5


@pytest.mark.parametrize("writers", [1, 4, 16])
def test_writers_are_held_for_a_small_part_of_their_time(writers: int) -> None:
    workload = Workload(1_000, writers)
    held = sum(
        step.seconds
        for plan in first(5_000, workload)
        for step in plan.steps
        if isinstance(step, Hold | ReserveThenInsert)
    )
    seconds_of_a_writer = 5_000 * workload.mean_events / workload.rate * writers
    assert held / seconds_of_a_writer < 0.4
