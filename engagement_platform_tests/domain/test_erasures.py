"""What the record of an erasure holds, and what the partner is told."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.disclosure import Disclosure
from engagement_platform.domain.erasures import (
    LONGEST_REST,
    TYPE,
    SinkOutcome,
    State,
    mark_of,
    message,
    outcomes_of,
    partners_id,
    rest,
    texts_of,
)

KEY = b"0123456789abcdef"
USER = "7B0f9f9a-0000-4000-8000-000000000001".lower()


@given(st.uuids(), st.uuids())
def test_a_mark_is_of_one_user_of_one_stream_and_is_no_id(one: object, other: object) -> None:
    marks = {mark_of(stream, str(user)) for stream in ("engagement", "orders") for user in {str(one), str(other)}}
    assert len(marks) == 2 * len({one, other})
    assert not any(str(one) in mark for mark in marks)


@pytest.mark.parametrize(
    ("disclosure", "known"),
    [
        (Disclosure(user="user_id"), USER),
        (Disclosure(user="user_id", user_id="drop"), None),
        (Disclosure(user="user_id", fields=("id", "device")), None),
        (Disclosure(user=None), None),
    ],
)
def test_the_partner_is_told_of_whom_it_knows(disclosure: Disclosure, known: str | None) -> None:
    assert partners_id(disclosure, USER) == known


def test_a_partner_that_gets_hashes_is_told_the_hash() -> None:
    hashed = partners_id(Disclosure(user="user_id", user_id="hash", hash_key=KEY), USER.upper())
    assert isinstance(hashed, str)
    assert USER not in hashed
    assert hashed == partners_id(Disclosure(user="user_id", user_id="hash", hash_key=KEY), USER)
    assert texts_of("user_id", USER, hashed) == (USER, hashed)


@pytest.mark.parametrize("user", [5, -5, "anna", 'an"na', USER])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_user_is_found_in_what_names_it_and_not_in_what_has_the_same_figures(
    user: str | int, separators: tuple[str, str]
) -> None:
    def has(**event: object) -> bool:
        text = json.dumps(event, separators=separators)
        return any(one in text for one in texts_of("user_id", user))

    assert has(id=1, user_id=user, device="ios")
    assert has(id=1, user_id=user)
    assert not has(id=user if isinstance(user, int) else 1, user_id=f"{user}0"[1:], device="anna")
    assert not has(user_id=55)


def test_the_message_is_as_standard_webhooks_has_it() -> None:
    body = json.loads(message(Disclosure(user="user_id"), USER, datetime(2026, 3, 1, tzinfo=UTC)))
    assert body == {
        "type": TYPE,
        "timestamp": "2026-03-01T00:00:00Z",
        "data": {"stream": "engagement", "field": "user_id", "user": USER},
    }


@given(st.integers(0, 100), st.none() | st.floats(0, 1e6))
def test_rests_grow_to_an_hour(tries: int, asked: float | None) -> None:
    assert 60 <= rest(tries, asked) <= LONGEST_REST
    assert rest(tries, None) <= rest(tries + 1, None)


def test_outcomes_are_read_as_they_were_kept() -> None:
    kept = {
        "warehouse": {"state": "erased", "note": "2 days"},
        "topic": {"state": "kept", "until": "2026-03-01T00:00:00Z"},
    }
    assert outcomes_of(kept) == {
        "warehouse": SinkOutcome(State.ERASED, "2 days"),
        "topic": SinkOutcome(State.KEPT, until=datetime(2026, 3, 1, tzinfo=UTC)),
    }
