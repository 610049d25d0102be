"""The judgement: it finds what is lost, doubled or out of order, and nothing else; and it is nobody's but its own."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform_tests.chaos import partner, readers, standstill, verdict
from engagement_platform_tests.chaos.partner import answer_to, is_signed
from engagement_platform_tests.chaos.standstill import Marker, Occurrence, fault_of, standstills
from engagement_platform_tests.chaos.verdict import (
    Message,
    Views,
    compared,
    delivered,
    exactly_once,
    published,
    recounted,
)

CONTENTS = ("a", "b", "c", None)


def message(number: int, offset: int | None = None, content: str | None = None, partition: int = 0) -> Message:
    return Message(partition, number if offset is None else offset, number, content, "video", "ios", 1_000 * number, 7)


@st.composite
def topics(draw: st.DrawFn) -> list[Message]:
    """Topics whose contents have one partition each; ids ascend within a content."""
    contents = draw(st.lists(st.sampled_from(CONTENTS), min_size=2, max_size=30))
    return [
        message(number, content=content, partition=CONTENTS.index(content) % 2)
        for number, content in enumerate(contents, 1)
    ]


def ids(topic: list[Message]) -> list[int]:
    return [one.event_id for one in topic]


def sequences(topic: list[Message]) -> list[list[int]]:
    return [[one.event_id for one in topic if one.content_id == content] for content in CONTENTS[:3]]


@given(topics())
def test_what_is_right_is_not_broken(topic: list[Message]) -> None:
    assert not published(topic, ids(topic), sequences(topic)).broken
    assert not exactly_once(ids(topic), ids(topic)[::-1]).broken
    assert not delivered(topic, ids(topic), ids(topic), frozenset()).broken


@given(topics(), st.data())
def test_a_lost_event_is_named_in_each_sink_unless_it_is_a_dead_letter(
    topic: list[Message], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(ids(topic)))
    present = [number for number in ids(topic) if number != gone]
    assert exactly_once(ids(topic), present).lost == {gone}
    assert not exactly_once(ids(topic), present, frozenset({gone})).broken
    assert published([one for one in topic if one.event_id != gone], ids(topic), sequences(topic)).lost == {gone}
    assert delivered(topic, ids(topic), present, frozenset()).lost == {gone}
    assert not delivered(topic, ids(topic), present, frozenset({gone})).broken


@given(topics(), st.data())
def test_a_doubled_event_is_named_where_once_is_promised(topic: list[Message], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(ids(topic)))
    again = message(twice, offset=1_000, content=topic[twice - 1].content_id, partition=topic[twice - 1].partition)
    assert exactly_once(ids(topic), [*ids(topic), twice]).doubled == {twice}
    assert published([*topic, again], ids(topic), sequences(topic)).doubled == {twice}
    repeated = delivered(topic, ids(topic), [*ids(topic), twice], frozenset())
    assert (repeated.broken, repeated.repeats) == (False, 1)


@given(topics())
def test_an_event_from_nowhere_is_named(topic: list[Message]) -> None:
    assert exactly_once(ids(topic), [*ids(topic), 999]).unknown == {999}
    assert delivered(topic, ids(topic), [*ids(topic), 999], frozenset()).unknown == {999}


@given(topics(), st.data())
def test_two_events_of_a_content_the_wrong_way_round_are_seen(topic: list[Message], data: st.DataObject) -> None:
    pairs = [(those[n], those[n + 1]) for those in sequences(topic) for n in range(len(those) - 1)]
    if not pairs:
        return
    before, after = data.draw(st.sampled_from(pairs))
    swap = {before: after, after: before}
    taken = [swap.get(number, number) for number in ids(topic)]
    assert delivered(topic, ids(topic), taken, frozenset()).disordered
    assert not delivered(topic, ids(topic), taken, frozenset(), frozenset({before, after})).broken
    moved = [message(one.event_id, swap.get(one.offset), one.content_id, one.partition) for one in topic]
    assert published(moved, ids(topic), sequences(topic)).disordered


def test_a_content_in_two_partitions_has_no_order() -> None:
    topic = [message(1, content="a"), message(2, content="a", partition=1)]
    assert published(topic, [1, 2], []).disordered == {1, 2}
    assert not published(topic, [1, 2], [], growths=1).broken


def test_repeats_do_not_count_as_order() -> None:
    topic = [message(1, content="a"), message(2, content="a")]
    assert not delivered(topic, [1, 2], [1, 2, 1], frozenset()).broken


def views(counts: dict[str, dict[str, int]], **changes: object) -> Views:
    geometry = {"offsets": {0: 10}, "as_of_ms": 25_000, "window_ms": 20_000, "bucket_ms": 10_000, "max_future_ms": 0}
    return Views(counts, **(geometry | changes))  # type: ignore[arg-type]


NAMES: dict[str, dict[str, int]] = {name: {} for name in readers.VIEWS}


def test_the_recount_knows_the_window_and_the_offsets() -> None:
    topic = [message(n) for n in (1, 9)]  # the window begins at 0: its edge is a bucket's edge
    assert recounted(topic, views(NAMES))["device:count"] == {"ios": 2}
    assert recounted(topic, views(NAMES))["content:count"] == {"(none)": 2}
    assert recounted(topic, views(NAMES, as_of_ms=35_000))["device:count"] == {}
    assert recounted(topic, views(NAMES, offsets={0: 9}))["device:count"] == {"ios": 1}
    assert recounted([message(40, offset=1)], views(NAMES))["device:count"] == {}
    assert recounted([message(40, offset=1)], views(NAMES, max_future_ms=20_000))["device:ms"] == {"ios": 7}


@given(st.integers(-3, 3))
def test_a_view_that_is_off_is_seen_by_how_much(off: int) -> None:
    topic = [message(n) for n in range(1, 6)]
    right = recounted(topic, views(NAMES))
    right["content_type:count"] = {"video": 5 + off}
    found = compared(views(right), recounted(topic, views(NAMES)))
    assert (found.events, found.too_few, found.too_many) == (5, max(-off, 0), max(off, 0))
    assert found.broken == (off != 0)


def test_other_milliseconds_are_seen() -> None:
    right = recounted([message(1)], views(NAMES))
    wrong = {**right, "device:ms": {"ios": 8}}
    assert compared(views(wrong), right).other_sums == ("device:ms ios: +1",)


@pytest.mark.parametrize("module", [verdict, readers, standstill, partner])
def test_the_checker_shares_no_line_with_the_package(module: object) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())  # type: ignore[attr-defined]
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.split(".")[0] == "engagement_platform"]


def test_what_the_partner_does_is_a_function_of_the_seed_and_all_of_it_occurs() -> None:
    answers = [answer_to(5, number, 0.5) for number in range(400)]
    assert answers == [answer_to(5, number, 0.5) for number in range(400)]
    assert len(set(answers)) == 9
    assert {answer_to(5, number, 0.0) for number in range(50)} == {"ok"}


def test_the_partner_knows_a_right_signature() -> None:
    """By the example of the specification of Standard Webhooks."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert is_signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, b'{"test": 2432232314}')
    assert not is_signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, b'{"test": 2432232315}')


def occurrence(began: float, healed: float, flowed: float, *, beyond: bool = False) -> Occurrence:
    return Occurrence("some", began, healed, healed if beyond else began, flowed)


def test_a_wait_belongs_to_the_fault_in_which_it_ended() -> None:
    markers = [Marker(1, 0.0), Marker(2, 9.9), Marker(3, 14.0), Marker(4, 18.0), Marker(5, 30.0)]
    seen = {1: 0.5, 2: 13.0, 3: 14.5, 4: 18.2}
    quiet, worst = standstills(markers, seen, [occurrence(10.0, 12.0, 15.0)])
    assert quiet == 0.5
    assert worst == {0: pytest.approx(3.0)}
    assert standstills(markers, seen, [occurrence(10.0, 12.0, 15.0, beyond=True)])[1] == {0: pytest.approx(1.0)}


def test_a_time_belongs_to_the_fault_that_began_last() -> None:
    two = [occurrence(10, 11, 12), occurrence(20, 21, 22)]
    assert [fault_of(at, two) for at in (5.0, 10.0, 19.0, 25.0)] == [None, 0, 0, 1]
