"""What is kept of a request to the partner."""

import json
import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.delivery.parcels import Failed, Outgoing, Settled
from engagement_platform.domain.delivery.record import (
    GOOD_EVERY_SECONDS,
    Became,
    Bodies,
    Delivery,
    became,
    content_number,
    content_numbers,
)

EVENT = Outgoing(1, "c", b"{}", ("topic", 0, 0), 0.0)


def test_what_became_of_the_events_is_read_from_what_was_settled() -> None:
    failed = Failed(EVENT, "status 422", 422, "", None, None)
    assert became(Settled(delivered=(EVENT,)), halved=False) is Became.DELIVERED
    assert became(Settled(failed=(failed,)), halved=False) is Became.DEAD_LETTER
    assert became(Settled(), halved=True) is Became.HALVED
    assert became(Settled(), halved=False) is Became.AGAIN


def test_bodies_of_failures_are_kept_and_of_the_others_one_now_and_then() -> None:
    bodies = Bodies(4)
    assert bodies.kept(b"123456", Became.AGAIN, 0.0) == "1234"
    assert bodies.kept(b"123", Became.DELIVERED, 0.0) == "123"
    assert bodies.kept(b"123", Became.DELIVERED, GOOD_EVERY_SECONDS - 0.1) is None
    assert bodies.kept(b"123", Became.HALVED, 0.1) == "123"
    assert bodies.kept(b"123", Became.DELIVERED, GOOD_EVERY_SECONDS) == "123"
    assert Bodies(0).kept(b"123", Became.AGAIN, 0.0) is None


@given(st.text(), st.integers(1, 20))
def test_whatever_a_body_holds_its_beginning_can_be_kept(text: str, most: int) -> None:
    body = text.encode("utf-8", "surrogatepass")
    kept = Bodies(most).kept(body, Became.AGAIN, 0.0)
    assert kept is not None
    assert "\x00" not in kept
    assert kept.encode().decode() == kept


def test_a_content_has_one_number_as_a_value_and_as_its_text() -> None:
    text = "00000000-0000-4000-8000-000000000001"
    assert content_number(uuid.UUID(text)) == content_number(text)
    assert content_number(17) == content_number("17")
    assert content_numbers([uuid.UUID(text), ("event", 5), b'"x"', "x"]) == tuple(
        sorted({content_number(text), content_number("x")})
    )


@given(st.text(st.characters(codec="utf-8")))
def test_a_content_that_is_json_is_found_by_what_it_says(text: str) -> None:
    lanes = json.dumps(text).encode(), msgspec.json.encode(text), text
    assert content_numbers(lanes) == (content_number(text),)


@pytest.mark.parametrize(
    ("lane", "text"), [(b"1.5", "1.5"), (b'{"a":"b"}', '{"a":"b"}'), (b'["a"]', '["a"]'), (b'"\\ud800"', "\\ud800")]
)
def test_a_content_of_other_json_is_found_by_the_json(lane: bytes, text: str) -> None:
    assert content_numbers([lane]) == (content_number(text),)


@given(st.text())
def test_the_number_of_a_content_fits_32_bits(text: str) -> None:
    assert -(1 << 31) <= content_number(text.encode("utf-8", "replace").decode()) < 1 << 31


@pytest.mark.parametrize(("body_bytes", "is_cut"), [(9, True), (2, False)])
def test_a_body_that_is_longer_than_what_is_kept_is_cut(body_bytes: int, is_cut: bool) -> None:
    delivery = Delivery(
        begun_at=datetime.now(UTC),
        seconds=0.1,
        request_id="msg_1",
        ids=(1,),
        tries=1,
        became=Became.AGAIN,
        status=503,
        body="[{",
        body_bytes=body_bytes,
    )
    assert delivery.is_cut == is_cut
