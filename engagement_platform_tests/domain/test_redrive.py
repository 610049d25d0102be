"""How each kind of letter is redriven."""

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.domain.records import Reader
from engagement_platform.domain.redrive import Plan, Sink, SourceEvent, Targets, chunks, needs_source, plan, weight
from engagement_platform_tests.dead_letters.support import letter
from engagement_platform_tests.partner import message
from engagement_platform_tests.streams import ENGAGEMENT

DAY = date(2026, 3, 1)
CONTENT = "00000000-0000-4000-8000-000000000001"
THERE = SourceEvent(b"content", b"{}", 2, DAY)
TOO_LARGE = SourceEvent(b"content", None, 2_000_000, DAY)
NO_TIME = SourceEvent(b"content", b"{}", 2, None)
LONG_AGO = SourceEvent(b"content", b"{}", 2, date(1999, 1, 1))


LACKING = {
    "relay": frozenset({Sink.API, Sink.WAREHOUSE}),
    "tally": frozenset[Sink](),
    "stage": frozenset({Sink.WAREHOUSE}),
    "forward": frozenset({Sink.API}),
}


def targets(**changes: Any) -> Targets:
    usual = Targets(
        api=True,
        api_variable="ENGAGEMENT_API_URL",
        largest_value=1_000,
        first_day=date(2024, 1, 1),
        last_day=DAY,
        reader=Reader(ENGAGEMENT),
        lacking=LACKING,
    )
    return replace(usual, **changes)


def test_an_event_that_is_in_the_letter_is_sent_under_its_content() -> None:
    value = message(7, content_id=CONTENT)
    content = letter(7, event=msgspec.Raw(value))
    assert not needs_source(content, targets())
    assert plan(content, None, targets()) == Plan(key=CONTENT.encode(), value=value)
    assert plan(letter(7), None, targets()) == Plan(key=None, value=message(7))


@pytest.mark.parametrize(
    ("content", "found", "wanted"),
    [
        (letter(7, keeps=False), THERE, Plan(key=b"content", value=b"{}")),
        (letter(7, "stage"), THERE, Plan(day=DAY)),
        (letter(7, "stage"), TOO_LARGE, Plan(day=DAY)),
        (letter(7, "relay", keeps=False), THERE, Plan(key=b"content", value=b"{}", day=DAY)),
        (letter(7, "relay"), LONG_AGO, Plan(key=b"content", value=b"{}")),
    ],
)
def test_others_are_read_from_the_source(content: DeadLetter, found: SourceEvent, wanted: Plan) -> None:
    assert needs_source(content, targets())
    assert plan(content, found, targets()) == wanted


@pytest.mark.parametrize(
    ("content", "found", "fault"),
    [
        (letter(7, "tally"), THERE, "no redrive for letters of tally"),
        (letter(None, "stage"), None, "does not say which event"),
        (letter(None), None, "does not say which event"),
        (letter(7, keeps=False), None, "the source has no event 7"),
        (letter(7, "relay"), NO_TIME, "its owner has to put it right"),
        (letter(7, "stage"), LONG_AGO, "1999-01-01 is no day that can be rebuilt"),
        (letter(7, keeps=False), TOO_LARGE, "would have 2000000 bytes, the topic of replays takes 1000"),
    ],
)
def test_what_cannot_be_redriven_says_why(content: DeadLetter, found: SourceEvent | None, fault: str) -> None:
    planned = plan(content, found, targets())
    assert fault in planned.fault
    assert (planned.value, planned.day) == (None, None)


def test_a_relay_s_letter_that_is_too_large_for_kafka_comes_into_the_warehouse_and_stays_open() -> None:
    planned = plan(letter(7, "relay", keeps=False), TOO_LARGE, targets())
    assert planned.day == DAY
    assert "too large" in planned.fault


def test_without_a_partner_only_the_warehouse_is_left() -> None:
    assert "ENGAGEMENT_API_URL" in plan(letter(7), None, targets(api=False)).fault
    others = targets(api=False, api_variable="ENGAGEMENT_ORDERS__API_URL")
    assert plan(letter(7), None, others).fault == "there is no partner: ENGAGEMENT_ORDERS__API_URL is not set"
    assert plan(letter(7, "relay"), THERE, targets(api=False)) == Plan(day=DAY)
    assert "no day" in plan(letter(7, "relay"), LONG_AGO, targets(api=False)).fault


def test_an_event_in_the_letter_that_is_none_is_looked_for_in_the_source() -> None:
    content = letter(7, event=msgspec.Raw(b'{"id": 7}'))
    assert needs_source(content, targets())
    assert plan(content, THERE, targets()).value == b"{}"
    assert weight(content, targets()) == 1_009
    assert weight(letter(7), targets()) == len(message(7))


@given(st.lists(st.integers(0, 20)), st.integers(1, 5), st.integers(1, 30))
def test_chunks_hold_everything_in_order_and_none_is_too_heavy(weights: list[int], most: int, heaviest: int) -> None:
    items = list(enumerate(weights))
    made = list(chunks([(item, item[1]) for item in items], most, heaviest))
    assert [item for chunk in made for item in chunk] == items
    for chunk in made:
        assert 1 <= len(chunk) <= most
        assert len(chunk) == 1 or sum(heavy for _, heavy in chunk) <= heaviest
