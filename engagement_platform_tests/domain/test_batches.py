import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.batches import Line, Rejected, load_id, name_of, uncovered
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.ids import IdRange
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, line_of

EVENT: dict[str, Any] = {
    "id": 7,
    "content_id": "6f2c1d7e-1111-4222-8333-123456789abc",
    "user_id": None,
    "event_type": "play",
    "event_ts": "2026-03-01T23:59:59.999999+00:00",
    "duration_ms": 1005,
    "device": "ios",
    "raw_payload": {"كلمة": [1, None, "😀"]},
    "slug": "s",
    "title": "عنوان",
    "content_type": "podcast",
    "length_seconds": 10,
    "engagement_seconds": 1.01,
    "engagement_pct": 0.1,
}


def message(**changes: object) -> bytes:
    return json.dumps(EVENT | changes).encode()


def line(value: bytes) -> dict[str, Any]:
    found = line_of(value)
    assert isinstance(found, Line)
    row: dict[str, Any] = json.loads(found.json, parse_float=Decimal)
    return row


def test_a_line_has_the_columns_of_the_table() -> None:
    row = line(message())
    assert list(row) == [column.name for column in ENGAGEMENT_EVENTS.columns]
    assert json.loads(row["raw_payload"]) == EVENT["raw_payload"]
    assert row["engagement_seconds"] == Decimal("1.01")
    assert row["event_ts"] == "2026-03-01T23:59:59.999999Z"


def test_a_line_knows_its_day_in_utc() -> None:
    found = line_of(message(event_ts="2026-03-01T01:00:00+03:00"))
    assert isinstance(found, Line)
    assert found.day == date(2026, 2, 28)


def test_a_message_of_a_newer_or_an_older_form_is_read_as_far_as_it_is_known() -> None:
    older = {name: value for name, value in EVENT.items() if name in ("id", "event_ts", "device")}
    row = line(json.dumps(older).encode())
    assert row == dict.fromkeys(EVENT) | older | {"event_ts": "2026-03-01T23:59:59.999999Z"}
    assert line(message(more={"deep": [1]})) == line(message())


def test_null_of_json_is_null() -> None:
    assert line(message(raw_payload=None))["raw_payload"] is None


@pytest.mark.parametrize("scalar", ['"null"', "0", "false", '""', "[]"])
def test_a_scalar_of_json_is_its_text(scalar: str) -> None:
    assert line(message(raw_payload=json.loads(scalar)))["raw_payload"] == scalar


@pytest.mark.parametrize(
    ("value", "event_id", "reason"),
    [
        (None, None, "no value"),
        (b"", None, "truncated"),
        (b"\xff\xfe", None, "JSON"),
        (b'{"id": 3}', 3, "event_ts"),
        (message(event_type=7), 7, "event_type"),
        (message(duration_ms=1 << 63), 7, "duration_ms"),
        (message(length_seconds=-(1 << 63) - 1), 7, "length_seconds"),
        (message(engagement_seconds=1e16), 7, "digits"),
        (message(engagement_pct=0.125), 7, "digits"),
        (message(engagement_pct="NaN"), 7, "digits"),
        (message(engagement_seconds="1E+3"), 7, "digits"),
        (message(event_ts="2026-03-01T00:00:00"), 7, "time zone"),
        (message(event_ts="soon"), 7, "event_ts"),
        (message(duration_ms="5"), 7, "duration_ms"),
        (message(id=-1), -1, "range"),
        (message(id=1 << 63), 1 << 63, "range"),
    ],
)
def test_what_is_no_event_is_rejected_with_a_reason(value: bytes | None, event_id: int | None, reason: str) -> None:
    found = line_of(value)
    assert isinstance(found, Rejected)
    assert found.id == event_id
    assert reason in found.reason


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_rejected(value: bytes) -> None:
    assert isinstance(line_of(value), Line | Rejected)


@given(
    st.builds(
        dict,
        id=st.integers(0, (1 << 63) - 1),
        user_id=st.none() | st.uuids().map(str),
        event_ts=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda t: t.replace(tzinfo=UTC)),  # noqa: DTZ001
        device=st.none() | st.text(),
        title=st.none() | st.text(),
        duration_ms=st.none() | st.integers(-(2**31), 2**31 - 1),
        engagement_seconds=st.none() | st.decimals(-2147483, 2147483, places=2),
    )
)
def test_values_survive(changes: dict[str, Any]) -> None:
    text = json.dumps(EVENT | changes, default=lambda v: v.isoformat() if isinstance(v, datetime) else float(v))
    row = line(text.encode())
    assert row["id"] == changes["id"]
    assert row["user_id"] == changes["user_id"]
    assert datetime.fromisoformat(row["event_ts"]) == changes["event_ts"]
    assert row["device"] == changes["device"]
    assert row["title"] == changes["title"]
    assert row["duration_ms"] == changes["duration_ms"]
    wanted = changes["engagement_seconds"]
    assert row["engagement_seconds"] == (None if wanted is None else Decimal(str(float(wanted))))


def test_what_a_rebuilt_day_holds_is_left_out_of_that_day_only() -> None:
    one, two = date(2026, 3, 1), date(2026, 3, 2)
    lines = [Line(i, day, b"") for day in (one, two) for i in (1, 2, 3, 4)]
    kept = uncovered(lines, {one: Coverage(3, (IdRange(2, 2),))})
    assert [(row.id, row.day) for row in kept] == [(2, one), (4, one), (1, two), (2, two), (3, two), (4, two)]


def test_a_batch_is_named_by_its_offsets_the_last_included() -> None:
    assert name_of("events", {1: (5, 6), 0: (10, 20)}) == "events_0@10-19_1@5-5"


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1))
def test_a_name_is_one_of_a_file_and_an_id_one_of_a_job(ranges: dict[int, tuple[int, int]]) -> None:
    assert len(name_of("t" * 100, ranges)) < 200
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", load_id("table", str(UUID(int=1)), ranges))


def test_a_load_id_is_of_one_topic_one_table_and_one_batch() -> None:
    base = ("table", "topic", {0: (0, 5), 1: (3, 4)})
    others = [("other", *base[1:]), (base[0], "other", base[2]), (*base[:2], {0: (0, 6), 1: (3, 4)})]
    ids = {load_id(*each) for each in (base, *others)}
    assert len(ids) == 4
    assert load_id(base[0], base[1], {1: (3, 4), 0: (0, 5)}) == load_id(*base)
