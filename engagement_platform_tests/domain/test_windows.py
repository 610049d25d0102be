from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.windows import CLOCK_SKEW_MS, DIMENSIONS, NONE, Adds, Window, aggregate, merge, recount

NOW_MS = 1_767_268_800_000
WINDOW = Window.of_seconds(length=60, bucket=10, max_future=15)


@dataclass(frozen=True)
class Event:
    event_ts: datetime
    content_id: str | None = "c"
    content_type: str | None = "video"
    device: str | None = "ios"
    duration_ms: int | None = 1


def at(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def member(*names: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([*names, None])


def events(lowest_ms: int = NOW_MS - 120_000, highest_ms: int = NOW_MS + 120_000) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        st.integers(lowest_ms * 1000, highest_ms * 1000).map(
            lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
        ),
        member("a", "b"),
        member("video", "podcast"),
        member("ios", "web", ""),
        st.none() | st.integers(-(2**31), 2**31 - 1),
    )


def naive(counted: list[Event], wanted: Callable[[Event], bool] = lambda _: True) -> Adds:
    """Count one event at a time, the obvious way."""
    totals: Adds = {dimension: {} for dimension in DIMENSIONS}
    for event in filter(wanted, counted):
        for dimension, name in zip(DIMENSIONS, (event.content_id, event.content_type, event.device), strict=True):
            pair = totals[dimension].setdefault(NONE if name is None else name, [0, 0])
            pair[0] += 1
            pair[1] += 0 if event.duration_ms is None else event.duration_ms
    return totals


@given(st.lists(events()))
def test_aggregation_equals_a_naive_recount(counted: list[Event]) -> None:
    totals: Adds = {dimension: {} for dimension in DIMENSIONS}
    for bucket, adds in aggregate(counted, WINDOW.bucket_ms).items():
        assert adds == naive(counted, lambda event, bucket=bucket: WINDOW.bucket_of(event.event_ts) == bucket)  # type: ignore[misc]
        merge(totals, adds)
    assert totals == naive(counted)


@given(st.lists(events()), st.lists(st.integers(0, 30_000), max_size=8))
def test_sliding_equals_a_recount_from_scratch_at_any_times(counted: list[Event], steps: list[int]) -> None:
    """Add what is live, then subtract whole buckets as they leave: at each time the recount is the same."""
    now = NOW_MS
    held = {b: adds for b, adds in aggregate(counted, WINDOW.bucket_ms).items() if WINDOW.is_live(b, now)}
    believed = [event for event in counted if not WINDOW.is_future(WINDOW.bucket_of(event.event_ts), NOW_MS)]
    for step in steps:
        now += step
        held = {bucket: adds for bucket, adds in held.items() if not WINDOW.is_late(bucket, now)}
        totals: Adds = {dimension: {} for dimension in DIMENSIONS}
        for adds in held.values():
            merge(totals, adds)
        assert totals == recount(believed, WINDOW, now)


@given(events())
def test_a_bucket_holds_its_start_and_not_its_end(event: Event) -> None:
    bucket = WINDOW.bucket_of(event.event_ts)
    assert at(bucket) <= event.event_ts < at(bucket + WINDOW.bucket_ms)
    assert bucket % WINDOW.bucket_ms == 0


@pytest.mark.parametrize(
    ("bucket", "live"),
    [
        (NOW_MS - 70_000, False),
        (NOW_MS - 60_000, True),  # the window begins within it: it counts as a whole
        (NOW_MS, True),
        (NOW_MS + 10_000, True),
        (NOW_MS + 20_000, True),  # begins 13 s ahead
        (NOW_MS + 30_000, False),
    ],
)
def test_live_buckets_at_a_time_within_a_bucket(bucket: int, live: bool) -> None:
    now = NOW_MS + 7_000
    assert WINDOW.is_live(bucket, now) is live
    assert WINDOW.is_late(bucket, now) is (bucket < NOW_MS - 60_000)


def test_a_future_bucket_counts_as_soon_as_its_start_is_near_enough() -> None:
    assert WINDOW.is_live(NOW_MS, NOW_MS - 15_000)
    assert WINDOW.is_future(NOW_MS, NOW_MS - 15_001)


def test_a_bucket_before_1970_is_rounded_down() -> None:
    assert WINDOW.bucket_of(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -10_000


def test_the_last_microsecond_of_a_far_year_stays_in_its_bucket() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert at(WINDOW.bucket_of(last)) == datetime(9999, 12, 31, 23, 59, 50, tzinfo=UTC)


def test_the_zone_of_a_timestamp_does_not_matter() -> None:
    utc = at(NOW_MS + 1_234)
    assert WINDOW.bucket_of(utc.astimezone(timezone(timedelta(hours=3)))) == WINDOW.bucket_of(utc)


@given(events(), st.integers(NOW_MS - 90_000, NOW_MS + 90_000), st.integers(-CLOCK_SKEW_MS, CLOCK_SKEW_MS))
def test_a_replay_begins_before_every_event_that_can_count(event: Event, now: int, skew: int) -> None:
    """An event that was believed when it arrived, by a clock that may differ, and that counts now, is replayed."""
    bucket = WINDOW.bucket_of(event.event_ts)
    if not WINDOW.is_live(bucket, now):
        return
    earliest_arrival = bucket - WINDOW.max_future_ms  # by Redis' clock; Kafka's shows `skew` more
    assert WINDOW.replay_from(now) <= earliest_arrival + skew


def test_a_replay_near_1970_begins_at_0() -> None:
    assert WINDOW.replay_from(1_000) == 0
