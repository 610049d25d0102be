"""Which letters are meant, and what has become of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.dead_letters import (
    Action,
    Address,
    Chosen,
    DeadLetter,
    DeadLetterState,
    Letter,
    address_of,
    state,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LETTER = Letter(
    Address(0, 17), DeadLetter(source="forward", event_id=5, reason="Status 422", excerpt="", at=AT, status=422)
)


def action(kind: str, outcome: str | None) -> Action:
    return Action(kind, "a@b", "", AT, None if outcome is None else AT, outcome, "")


@given(st.integers(0, 99), st.integers(0, 1 << 62))
def test_an_address_is_read_as_it_is_written(partition: int, offset: int) -> None:
    assert address_of(str(Address(partition, offset))) == Address(partition, offset)


@pytest.mark.parametrize("text", ["", "17", "0:", ":1", "0:-1", "0:1:2", "a:b", "0 1", "٣:x"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        address_of(text)


@pytest.mark.parametrize(
    ("done", "wanted"),
    [
        ([], DeadLetterState.OPEN),
        ([action("redrive", None)], DeadLetterState.REDRIVING),
        ([action("redrive", "done")], DeadLetterState.REDRIVEN),
        ([action("redrive", "failed")], DeadLetterState.OPEN),
        ([action("discard", "done")], DeadLetterState.DISCARDED),
        ([action("redrive", "failed"), action("redrive", None)], DeadLetterState.REDRIVING),
        ([action("discard", "done"), action("redrive", "done")], DeadLetterState.REDRIVEN),
    ],
)
def test_the_last_action_says_what_has_become_of_a_letter(done: list[Action], wanted: DeadLetterState) -> None:
    assert state(done) is wanted


@pytest.mark.parametrize(
    ("chosen", "meant"),
    [
        (Chosen(), True),
        (Chosen(reason="status"), True),
        (Chosen(reason="STATUS 4"), True),
        (Chosen(reason="status 5"), False),
        (Chosen(sources=["relay", "forward"]), True),
        (Chosen(sources=["relay"]), False),
        (Chosen(since=AT), True),
        (Chosen(since=AT + timedelta(microseconds=1)), False),
        (Chosen(until=AT), False),
        (Chosen(until=AT + timedelta(microseconds=1)), True),
        (Chosen(event_ids=[4, 5]), True),
        (Chosen(event_ids=[4]), False),
        (Chosen(addresses=[Address(0, 17)]), True),
        (Chosen(addresses=[Address(1, 17)]), False),
        (Chosen(states=[DeadLetterState.OPEN]), True),
        (Chosen(states=[DeadLetterState.REDRIVEN, DeadLetterState.DISCARDED]), False),
        (Chosen(reason="status", event_ids=[4]), False),
    ],
)
def test_a_letter_is_meant_when_everything_given_holds(chosen: Chosen, meant: bool) -> None:
    assert chosen.has(LETTER) is meant


def test_a_letter_without_an_event_s_id_is_not_meant_by_one() -> None:
    nobody = replace(LETTER, content=DeadLetter(source="stage", event_id=None, reason="", excerpt="", at=AT))
    assert Chosen().has(nobody)
    assert not Chosen(event_ids=[0]).has(nobody)
