"""The soak's own eyes: each broken promise is seen."""

from engagement_platform.local.receiver import Delivery
from engagement_platform_tests.soak.evidence import Evidence, evidence

TOPIC = {"a": [1, 3, 2], "b": [4]}


def delivered(*ids: int) -> list[Delivery]:
    contents = {number: content for content, numbers in TOPIC.items() for number in numbers}
    return [Delivery(f"engagement-event-{n}", contents.get(n), "msg", 0.0, n) for n in ids]


def test_kept_promises() -> None:
    nothing: frozenset[int] = frozenset()
    assert evidence(TOPIC, delivered(4, 1, 3, 1, 3), frozenset({2})) == Evidence(nothing, nothing, (), nothing, 2)


def test_an_event_that_is_nowhere() -> None:
    assert evidence(TOPIC, delivered(1, 3), frozenset({4})).missing == {2}


def test_an_event_from_nowhere() -> None:
    assert evidence(TOPIC, delivered(1, 3, 2, 4, 9), frozenset({8})).unknown == {8, 9}


def test_first_arrivals_the_wrong_way_round() -> None:
    assert evidence(TOPIC, delivered(1, 2, 3, 4), frozenset()).out_of_order == (("a", 2, 3),)


def test_a_repeat_may_come_at_any_time() -> None:
    assert evidence(TOPIC, delivered(1, 3, 2, 4, 1), frozenset()).out_of_order == ()


def test_keys_that_change_or_belong_to_another() -> None:
    again = Delivery("engagement-event-99", "a", "msg", 0.0, 1)
    assert evidence(TOPIC, [*delivered(1, 3, 2, 4), again], frozenset()).other_keys == {1}
    taken = Delivery("engagement-event-4", "a", "msg", 0.0, 2)
    assert evidence(TOPIC, [*delivered(1, 3, 4), taken], frozenset()).other_keys & {2, 4}
