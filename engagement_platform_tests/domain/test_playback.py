import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engagement_platform.adapters.redis as redis_adapter
from engagement_platform.adapters.redis.counted import UNSAID
from engagement_platform.domain.event_stream import Dimension, Measure, Views
from engagement_platform.domain.playback import (
    CLOCK_TOLERANCE_MS,
    Evictions,
    Playbacks,
    Resume,
    may_lack,
    resume,
)
from engagement_platform.domain.windows import aggregate
from engagement_platform_tests.streams import PACKAGED, VISITS

EVENT: dict[str, Any] = {
    "id": 1,
    "content_id": "5f0c2f5e-0000-4000-8000-000000000001",
    "user_id": None,
    "event_type": "play",
    "event_ts": "2026-01-01T12:00:00.123456+00:00",
    "duration_ms": None,
    "device": "ios",
    "raw_payload": {"x": [1]},
    "slug": "a",
    "title": "عنوان 🎧",
    "content_type": "video",
    "length_seconds": 0,
    "engagement_seconds": None,
    "engagement_pct": None,
}


ENGAGEMENT = Playbacks(PACKAGED)
read, display_of = ENGAGEMENT.read, ENGAGEMENT.display_of


def message(**changes: Any) -> bytes:
    return json.dumps(EVENT | changes).encode()


def test_an_event_is_read() -> None:
    event = read(message())
    assert event is not None
    assert (event.content_id, event.device, event.duration_ms) == (EVENT["content_id"], "ios", None)
    assert event.event_ts.isoformat() == "2026-01-01T12:00:00.123456+00:00"


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        b"",
        b"\xff\xfe",
        b"not json",
        b"[]",
        b"{}",
        b'{"title": "\xff"}',
        message(event_ts="2026-01-01T12:00:00"),  # no zone: nobody knows when that was
        message(event_ts="infinity"),
        message(event_ts=None),
        message(duration_ms=1.5),
        message(device=[7]),
        message(device={}),
        message(duration_ms=2**63),  # no column of the source can hold it
    ],
)
def test_what_is_no_event_is_told_apart(garbage: bytes | None) -> None:
    assert read(garbage) is None


def test_what_is_shown_is_that_of_the_last_event() -> None:
    old, new, nameless = read(message(title="old")), read(message()), read(message(content_id=None))
    assert old is not None
    assert new is not None
    assert nameless is not None
    shown = display_of([old, new, nameless])
    assert shown == {"content": {EVENT["content_id"]: '{"slug":"a","title":"عنوان 🎧","content_type":"video"}'}}


def test_a_column_that_a_message_lacks_is_null() -> None:
    """As in messages from before a dimension was added; without a time there is no event."""
    event = read(b'{"event_ts": "2026-01-01T12:00:00Z", "device": "ios"}')
    assert event is not None
    assert (event.device, event.content_id, event.duration_ms) == ("ios", None, None)
    assert read(b'{"device": "ios"}') is None


@given(st.text(), st.text(), st.integers(-(2**63), 2**63 - 1))
def test_an_event_of_another_stream_has_the_columns_of_its_views(title: str, page: str, size: int) -> None:
    visits = Playbacks(VISITS)
    value = {"from": "2026-01-01T12:00:00Z", "class": "c", "page": page, "site": None, "title": title, "bytes": size}
    event = visits.read(json.dumps(value).encode())
    assert event is not None
    shown = visits.display_of([event])
    assert shown.keys() == {"page", "site"}
    assert json.loads(shown["page"][page]) == {"title": title, "class": "c", "bytes": size}
    assert shown["site"] == {}


@pytest.mark.parametrize(
    ("value", "member"),
    [
        ('"text"', "text"),
        ('""', ""),
        ("null", "(none)"),
        ("7", "7"),
        ("123456789012345678901", "123456789012345678901"),
        ("0.10", "0.10"),
        ("-12345678901234567890.123456789", "-12345678901234567890.123456789"),
        ("true", "true"),
    ],
)
def test_a_member_of_any_type_is_what_stands_in_the_message(value: str, member: str) -> None:
    event = read(f'{{"event_ts": "2026-01-01T12:00:00Z", "device": {value}}}'.encode())
    assert aggregate(PACKAGED, [event], 10_000)[1_767_268_800_000]["device"] == {member: [1, 0]}


def test_the_time_may_be_counted_by_and_shown_too() -> None:
    by_time = replace(PACKAGED, views=Views((Dimension("at", "event_ts", ("event_ts",)),), (Measure("count", None),)))
    playbacks = Playbacks(by_time)
    event = playbacks.read(b'{"event_ts": "2026-01-01T12:00:00Z"}')
    assert aggregate(by_time, [event], 10_000) == {1_767_268_800_000: {"at": {"2026-01-01T12:00:00Z": [1]}}}
    assert playbacks.display_of([event]) == {"at": {"2026-01-01T12:00:00Z": '{"event_ts":"2026-01-01T12:00:00Z"}'}}


def test_a_message_that_is_nested_too_deeply_for_a_parser_is_counted() -> None:
    event = read(message(device="ios")[:-1] + b', "payload": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")
    assert event is not None
    assert event.device == "ios"


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, Resume.CONTINUE),
        ({"generation": None}, Resume.BUILD),
        ({"has_offsets": False}, Resume.BUILD),
        ({"has_offsets": False, "same_topic": False}, Resume.BUILD),  # after `views rebuild`
        ({"same_topic": False}, Resume.STOP),
        ({"same_topic": False, "same_window": False}, Resume.STOP),
        ({"same_window": False}, Resume.BUILD),
        ({"ahead_ms": CLOCK_TOLERANCE_MS}, Resume.CONTINUE),
        ({"ahead_ms": CLOCK_TOLERANCE_MS + 1}, Resume.BUILD),
    ],
)
def test_how_a_tally_goes_on(changes: dict[str, Any], decision: Resume) -> None:
    found: dict[str, Any] = {
        "generation": "g",
        "same_topic": True,
        "same_window": True,
        "has_offsets": True,
        "ahead_ms": 0,
    }
    assert resume(**(found | changes)) is decision


def test_the_script_has_the_same_tolerance() -> None:
    text = (Path(redis_adapter.__path__[0]) / "apply.lua").read_text()
    assert f"CLOCK_TOLERANCE_MS = {CLOCK_TOLERANCE_MS}\n" in text


def test_the_scripts_know_what_the_views_of_a_version_before_count() -> None:
    text = (Path(redis_adapter.__path__[0]) / "common.lua").read_text()
    assert "".join(re.findall("'(.*)'", text.split("UNSAID =")[1].split("\n\n")[0])) == UNSAID


@pytest.mark.parametrize(
    ("kept", "present", "lacks"),
    [
        (Evictions("a", 0), Evictions("a", 0), False),
        (Evictions("a", 7), Evictions("a", 7), False),
        (Evictions("a", 7), Evictions("a", 8), True),
        (Evictions("a", 7), Evictions("a", 0), True),  # CONFIG RESETSTAT: nobody knows
        (Evictions("a", 7), Evictions("b", 0), False),
        (Evictions("a", 7), Evictions("b", 7), True),
        (None, Evictions("a", 0), False),
        (None, Evictions("a", 1), True),
    ],
)
def test_what_a_server_has_evicted_since_the_build(kept: Evictions | None, present: Evictions, lacks: bool) -> None:
    assert may_lack(kept, present) is lacks
