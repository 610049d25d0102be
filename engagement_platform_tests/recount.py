"""The oracle of the views: which buckets count at a time, and what they hold, counted anew from all events."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.windows import Adds, Window, aggregate, nothing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bucket_of(window: Window, event_ts: datetime) -> int:
    """Return the start of the bucket that an event belongs to."""
    return (event_ts - _EPOCH) // timedelta(milliseconds=window.bucket_ms) * window.bucket_ms


def is_late(window: Window, bucket: int, now_ms: int) -> bool:
    """Say whether the bucket has left the window."""
    return bucket < window.start(now_ms)


def is_future(window: Window, bucket: int, now_ms: int) -> bool:
    """Say whether the bucket begins too far ahead to be believed."""
    return bucket > now_ms + window.max_future_ms


def is_live(window: Window, bucket: int, now_ms: int) -> bool:
    """Say whether the bucket counts at `now_ms`."""
    return not (is_late(window, bucket, now_ms) or is_future(window, bucket, now_ms))


def recount(stream: EventStream, events: Sequence[Any], window: Window, as_of_ms: int) -> Adds:
    """Return what the views hold at `as_of_ms`.

    An event that was more than an hour beyond the future's edge when it arrived is not in the views, although it counts
    here once its bucket is live. Nor is one that was beyond the edge and arrived before the views were built anew.
    """
    totals = nothing(stream.views)
    for bucket, adds in aggregate(stream, events, window.bucket_ms).items():
        if is_live(window, bucket, as_of_ms):
            merge(totals, adds)
    return totals


def merge(totals: Adds, adds: Mapping[str, Mapping[str, list[int]]]) -> None:
    """Add `adds` to `totals`, in place."""
    for dimension, sums in adds.items():
        into = totals[dimension]
        for member, added in sums.items():
            present = into.setdefault(member, [0] * len(added))
            for column, number in enumerate(added):
                present[column] += number
