"""What a dead letter keeps of a message."""

import json
from bisect import bisect_left
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.batches import Line, Rejected
from engagement_platform.domain.dead_letters import (
    EXCERPT_CHARACTERS,
    NO_EVENT,
    DeadLetter,
    decode_dead_letter,
    encode_dead_letter,
    kept,
)
from engagement_platform.domain.disclosure import Disclosure, object_of
from engagement_platform.domain.messages import dead_letter
from engagement_platform.domain.playback import Playbacks
from engagement_platform_tests.partner import message
from engagement_platform_tests.streams import ENGAGEMENT, PACKAGED, decode, id_of, line_of

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


def deep(depth: int, **changes: object) -> bytes:
    payload = b'[{"x": ' * (depth // 2) + b"1" + b"}]" * (depth // 2)
    return message(7, raw_payload=0, **changes).replace(b'"raw_payload": 0', b'"raw_payload": ' + payload)


@pytest.mark.parametrize("depth", [1_100, 20_000])
def test_a_payload_is_an_event_s_however_deep_it_is_nested(depth: int) -> None:
    """PostgreSQL takes it, and so does the relay: nobody looks into it."""
    value = deep(depth)
    payload = bytes(decode(value).raw_payload)
    assert payload.count(b"[") == depth // 2
    line = line_of(value)
    assert isinstance(line, Line)
    assert json.loads(line.json)["raw_payload"] == payload.decode()
    assert read_by_tally(value) is not None
    assert payload in object_of(value, 7, Disclosure(fields=("id", "raw_payload")))


@pytest.mark.parametrize("depth", [1_100, 20_000])
def test_what_is_no_event_keeps_its_id_however_deep_it_is_nested(depth: int) -> None:
    value = deep(depth, device=[])
    rejected = line_of(value)
    assert isinstance(rejected, Rejected)
    assert rejected.id == 7
    assert "device" in rejected.reason
    assert read_by_tally(value) is None
    letter = dead_letter(7, "because", value, 0, MIB)
    assert decode_dead_letter(encode_dead_letter(letter)) == letter
    assert bytes(letter.event) == value


@pytest.mark.parametrize("end", [b',"raw_payload":"\\ud800"}', b',"raw_payload":[[}', b""])
def test_a_message_that_cannot_be_read_to_its_end_has_the_id_that_it_begins_with(end: bytes) -> None:
    assert id_of(b'{"id":12,"device":"ios"' + end) == 12
    assert id_of(b'{"id":12' + end) == (12 if end else None)


read_by_tally = Playbacks(PACKAGED).read
WHOLE = st.integers(-(2**63), 2**63 - 1)


@given(
    st.builds(
        dict,
        event_type=st.none() | st.text(),
        content_type=st.none() | st.text(),
        device=st.none() | st.text(),
        duration_ms=st.none() | WHOLE,
        length_seconds=st.none() | WHOLE,
        raw_payload=documents,
    )
)
def test_whatever_the_source_s_types_hold_is_carried_by_every_sink(changes: dict[str, object]) -> None:
    """So what the tally cannot count, stage cannot load either: its letter has it."""
    value = message(7, **changes)
    event, line, counted = decode(value), line_of(value), read_by_tally(value)
    assert isinstance(line, Line)
    assert counted is not None
    row = json.loads(line.json)
    for name in ("event_type", "content_type", "device", "duration_ms", "length_seconds"):
        assert getattr(event, name) == row[name] == changes[name]
    assert (counted.duration_ms, counted.device) == (changes["duration_ms"], changes["device"])


@given(st.dictionaries(st.sampled_from(ENGAGEMENT.names), documents))
def test_what_stage_loads_the_tally_counts(changes: dict[str, object]) -> None:
    value = json.dumps(json.loads(message(7)) | changes).encode("utf-8", "surrogatepass")
    if isinstance(line_of(value), Line):
        assert read_by_tally(value) is not None


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
