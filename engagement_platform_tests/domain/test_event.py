"""What a dead letter keeps of a message."""

import json
from bisect import bisect_left
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import playback
from engagement_platform.domain.batches import Rejected, line_of
from engagement_platform.domain.event import (
    EXCERPT_CHARACTERS,
    NO_EVENT,
    DeadLetter,
    decode,
    decode_dead_letter,
    encode_dead_letter,
    kept,
)
from engagement_platform.domain.messages import dead_letter
from engagement_platform_tests.partner import message

MIB = 1 << 20
documents = st.recursive(st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(), st.lists)


@given(documents)
def test_json_is_kept_to_the_byte(document: object) -> None:
    value = json.dumps(document, indent=1).encode("utf-8", "surrogatepass")
    written = encode_dead_letter(dead_letter(1, "because", value, 0, MIB))
    assert bytes(decode_dead_letter(written).event) == value


@pytest.mark.parametrize("value", [b"9" * 5_000, b'{"a": 1e400}', b"-0.0"])
def test_numbers_of_any_size_are_kept(value: bytes) -> None:
    assert bytes(kept(value, MIB)) == value


@given(st.binary())
def test_a_letter_can_be_written_whatever_was_given_up(value: bytes) -> None:
    letter = decode_dead_letter(encode_dead_letter(dead_letter(1, "because", value, 0, MIB)))
    assert bytes(letter.event) in (value.strip(b" \t\r\n"), bytes(NO_EVENT))


@pytest.mark.parametrize("value", [b"", b"{", b'"\xff"', b'{"a": 1} x', b"[" * 100_000, b"nul"])
def test_what_is_no_json_is_not_kept(value: bytes) -> None:
    assert kept(value, MIB) == NO_EVENT


def text(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def test_json_nested_deeper_than_anybody_reads_is_no_event() -> None:
    """PostgreSQL takes it, and so does the relay: no loop may end because of it."""
    value = message(7, raw_payload=0).replace(b'"raw_payload": 0', b'"raw_payload": ' + b"[" * 5_000 + b"]" * 5_000)
    with pytest.raises(msgspec.ValidationError, match="nested too deeply"):
        decode(value)
    rejected = line_of(value)
    assert isinstance(rejected, Rejected)
    assert "nested too deeply" in rejected.reason
    assert playback.read(value) is None


def test_a_letter_with_everything_in_it_fits_its_topic() -> None:
    """The excerpts at their largest: control characters, of which JSON makes six bytes each."""
    sizes = range(2, MIB)
    largest = sizes[bisect_left(sizes, 1, key=lambda n: kept(text(n), MIB) == NO_EVENT) - 1]
    assert largest > MIB - (16 << 10)
    widest = "\x01" * EXCERPT_CHARACTERS
    now = datetime.now(UTC)
    assert kept(text(largest), MIB) != NO_EVENT
    assert kept(text(largest + 1), MIB) == NO_EVENT
    letter = DeadLetter(
        source="forward",
        event_id=1 << 62,
        reason="x" * 200,
        excerpt=widest,
        at=now,
        status=422,
        response=widest,
        first_try=now,
        last_try=now,
        event=kept(text(largest), MIB),
        key="k" * 100,
    )
    assert len(encode_dead_letter(letter)) + 512 <= MIB
