from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.event_stream import Dimension, EventStream, Measure, Views
from engagement_platform.domain.playback import Playbacks
from engagement_platform.domain.windows import (
    CLOCK_SKEW_MS,
    NONE,
    Adds,
    Window,
    aggregate,
    attribute_of,
    nothing,
)
from engagement_platform_tests.recount import bucket_of, is_future, is_late, is_live, merge, recount
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, VISITS

NOW_MS = 1_767_268_800_000
WINDOW = Window.of_seconds(length=60, bucket=10, max_future=15)


def at(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


STREAMS = {stream.name: (stream, Playbacks(stream).event) for stream in (PACKAGED, ORDERS, VISITS, PINGS)}


def moments(lowest_ms: int = NOW_MS - 120_000, highest_ms: int = NOW_MS + 120_000) -> st.SearchStrategy[datetime]:
    return st.integers(lowest_ms * 1000, highest_ms * 1000).map(
        lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    )


def events(stream: EventStream) -> st.SearchStrategy[Any]:
    """Return events of a stream with values of all kinds in their dimensions."""
    summed = {measure.column for measure in stream.views.measures}
    values: dict[str, st.SearchStrategy[Any]] = {
        attribute_of(column): st.none() | st.integers(-(2**63), 2**63 - 1) if column in summed else MEMBERS
        for column in stream.views.columns
    }
    values[attribute_of(stream.source.time)] = moments()
    return st.builds(STREAMS[stream.name][1], **values)


MEMBERS = st.sampled_from(["a", "b", "", NONE, "1", 1, Decimal("1.0"), Decimal("1.00"), True, None])
counted_streams = st.sampled_from(list(STREAMS)).flatmap(
    lambda name: st.tuples(st.just(STREAMS[name][0]), st.lists(events(STREAMS[name][0])))
)


def time_of(stream: EventStream, event: Any) -> datetime:
    at: datetime = getattr(event, attribute_of(stream.source.time))
    return at


def naive(stream: EventStream, counted: list[Any], is_counted: Callable[[Any], bool] = lambda _: True) -> Adds:
    """Count one event at a time, the obvious way."""
    totals: Adds = {dimension.name: {} for dimension in stream.views.dimensions}
    for event in filter(is_counted, counted):
        for dimension in stream.views.dimensions:
            value = getattr(event, attribute_of(dimension.column))
            member = NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            sums = totals[dimension.name].setdefault(member, [0] * len(stream.views.measures))
            for column, measure in enumerate(stream.views.measures):
                sums[column] += 1 if measure.column is None else getattr(event, attribute_of(measure.column)) or 0
    return totals


@given(counted_streams)
def test_aggregation_equals_a_naive_recount(drawn: tuple[EventStream, list[Any]]) -> None:
    stream, counted = drawn
    totals = nothing(stream.views)
    for bucket, adds in aggregate(stream, counted, WINDOW.bucket_ms).items():
        assert adds == naive(
            stream,
            counted,
            lambda event, bucket=bucket: bucket_of(WINDOW, time_of(stream, event)) == bucket,  # type: ignore[misc]
        )
        merge(totals, adds)
    assert totals == naive(stream, counted)


@given(counted_streams, st.lists(st.integers(0, 30_000), max_size=8))
def test_sliding_equals_a_recount_from_scratch_at_any_times(
    drawn: tuple[EventStream, list[Any]], steps: list[int]
) -> None:
    """Add what is live, then subtract whole buckets as they leave: at each time the recount is the same."""
    stream, counted = drawn
    now = NOW_MS
    added = aggregate(stream, counted, WINDOW.bucket_ms)
    held = {bucket: adds for bucket, adds in added.items() if is_live(WINDOW, bucket, now)}
    believed = [one for one in counted if not is_future(WINDOW, bucket_of(WINDOW, time_of(stream, one)), NOW_MS)]
    for step in steps:
        now += step
        held = {bucket: adds for bucket, adds in held.items() if not is_late(WINDOW, bucket, now)}
        totals = nothing(stream.views)
        for adds in held.values():
            merge(totals, adds)
        assert totals == recount(stream, believed, WINDOW, now)


def test_columns_with_names_that_are_no_attributes_are_counted() -> None:
    strange = replace(
        ORDERS,
        views=Views(
            (Dimension("a", "two words"), Dimension("b", "class")), (Measure("count", None), Measure("n", "a.b"))
        ),
    )
    event = Playbacks(strange).read(b'{"placed_at": "1970-01-01T00:00:00Z", "two words": 1, "class": "x", "a.b": 5}')
    assert aggregate(strange, [event], 1_000) == {0: {"a": {"1": [1, 5]}, "b": {"x": [1, 5]}}}


@given(moments())
def test_a_bucket_holds_its_start_and_not_its_end(moment: datetime) -> None:
    bucket = bucket_of(WINDOW, moment)
    assert at(bucket) <= moment < at(bucket + WINDOW.bucket_ms)
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
    assert is_live(WINDOW, bucket, now) is live
    assert is_late(WINDOW, bucket, now) is (bucket < NOW_MS - 60_000)


def test_a_future_bucket_counts_as_soon_as_its_start_is_near_enough() -> None:
    assert is_live(WINDOW, NOW_MS, NOW_MS - 15_000)
    assert is_future(WINDOW, NOW_MS, NOW_MS - 15_001)


def test_a_bucket_before_1970_is_rounded_down() -> None:
    assert bucket_of(WINDOW, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -10_000


def test_the_last_microsecond_of_a_far_year_stays_in_its_bucket() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert at(bucket_of(WINDOW, last)) == datetime(9999, 12, 31, 23, 59, 50, tzinfo=UTC)


def test_the_zone_of_a_timestamp_does_not_matter() -> None:
    utc = at(NOW_MS + 1_234)
    assert bucket_of(WINDOW, utc.astimezone(timezone(timedelta(hours=3)))) == bucket_of(WINDOW, utc)


@given(moments(), st.integers(NOW_MS - 90_000, NOW_MS + 90_000), st.integers(-CLOCK_SKEW_MS, CLOCK_SKEW_MS))
def test_a_replay_begins_before_every_event_that_can_count(moment: datetime, now: int, skew: int) -> None:
    """An event that was believed when it arrived, by a clock that may differ, and that counts now, is replayed."""
    bucket = bucket_of(WINDOW, moment)
    if not is_live(WINDOW, bucket, now):
        return
    earliest_arrival = bucket - WINDOW.max_future_ms  # by Redis' clock; Kafka's shows `skew` more
    assert WINDOW.replay_from(now) <= earliest_arrival + skew


def test_a_replay_near_1970_begins_at_0() -> None:
    assert WINDOW.replay_from(1_000) == 0
