import json
from pathlib import Path
from typing import Any

import pytest

import engagement_platform.adapters.redis as redis_adapter
from engagement_platform.domain.playback import (
    CLOCK_TOLERANCE_MS,
    Evictions,
    Resume,
    display_of,
    may_lack,
    read,
    resume,
)

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
        message(duration_ms=2**63),  # no column of the source can hold it
        message(device=7),
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
    assert {key: json.loads(text) for key, text in shown.items()} == {
        EVENT["content_id"]: {"slug": "a", "title": "عنوان 🎧", "content_type": "video"}
    }


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
