"""The verdict on Redis: whether an event is counted, and in which bucket, by the rules of `domain.windows`."""

from datetime import UTC, datetime, timedelta

from engagement_platform.domain.trace.facts import Facts, InViews, Message, Unread
from engagement_platform.domain.trace.trace import Mark, Place, Said, Step, said
from engagement_platform.domain.trace.upstream import was_never_published
from engagement_platform.domain.windows import Window

FUTURE_KEPT_MS = 3_600_000
"""For how long a bucket that lies too far ahead is kept until its time comes; as in apply.lua."""
USUAL_DELAY_MS = 5_000
"""How long after its arrival an event is counted at most, while the promise is kept."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def in_redis(facts: Facts) -> Step:
    """Say whether the event is counted, and in which bucket, or why not."""
    message, views = facts.message, facts.views
    if message is None:
        return _without_message(facts)
    if message.time is None:
        return Step(Place.REDIS, Mark.NOT_THERE, said("redis.no_event"))
    if views is None or isinstance(views, Unread):
        reason = "it was not asked" if views is None else views.reason
        return Step(Place.REDIS, Mark.UNKNOWN, said("unread", reason=reason))
    return _of_views(message, message.time, views)


def _of_views(message: Message, time: datetime, views: InViews) -> Step:
    if not views.same_topic:
        return Step(Place.REDIS, Mark.UNKNOWN, said("redis.other_topic"))
    if views.offset is None:
        return Step(Place.REDIS, Mark.WAITS, said("redis.empty"))
    if message.offset >= views.offset:
        return Step(Place.REDIS, Mark.WAITS, said("redis.waits", messages=message.offset - views.offset))
    return _passed(message, time, views)


def _without_message(facts: Facts) -> Step:
    if was_never_published(facts):
        return Step(Place.REDIS, Mark.NOT_THERE, said("redis.not_published"))
    row, views = facts.row, facts.views
    time = None if row is None else row.time
    if time is not None and isinstance(views, InViews) and _has_left(bucket_of(time, views.window), views):
        return Step(Place.REDIS, Mark.UNKNOWN, said("redis.past", time=time))
    return Step(Place.REDIS, Mark.UNKNOWN, said("redis.not_found"))


def _passed(message: Message, time: datetime, views: InViews) -> Step:
    """Judge a message that the tally has passed: its bucket against the window as it was then, and as it is now."""
    window, arrived = views.window, _ms(message.arrived)
    bucket = bucket_of(time, window)
    if bucket < window.start(arrived):
        edge = _time(window.start(arrived))
        return Step(Place.REDIS, Mark.NOT_THERE, said("redis.late", time=time, edge=edge))
    if bucket > views.as_of_ms + window.max_future_ms:
        return _ahead(time, bucket, arrived, window)
    if bucket > arrived + USUAL_DELAY_MS + window.max_future_ms + FUTURE_KEPT_MS:
        return Step(Place.REDIS, Mark.NOT_THERE, said("redis.too_far", time=time))
    if _has_left(bucket, views):
        # It was counted, unless the tally came to it only when its bucket had left already.
        seconds = (bucket + window.bucket_ms + window.length_ms - arrived) // 1_000
        left = said("redis.left", bucket=_time(bucket), seconds=max(seconds, 0))
        return Step(Place.REDIS, Mark.NOT_THERE, left)
    members = _members(message, views)
    if message.members and not any(count is not None for count in views.counts):
        return Step(Place.REDIS, Mark.UNKNOWN, said("redis.not_in_bucket", bucket=_time(bucket)), None, members)
    return Step(Place.REDIS, Mark.THERE, said("redis.counted", bucket=_time(bucket)), None, members)


def _has_left(bucket: int, views: InViews) -> bool:
    return bucket < views.window.start(views.as_of_ms)


def _ahead(time: datetime, bucket: int, arrived: int, window: Window) -> Step:
    if bucket > arrived + USUAL_DELAY_MS + window.max_future_ms + FUTURE_KEPT_MS:
        return Step(Place.REDIS, Mark.NOT_THERE, said("redis.too_far", time=time))
    counts_from = _time(bucket - window.max_future_ms)
    return Step(Place.REDIS, Mark.WAITS, said("redis.future", time=time, counts_from=counts_from))


def _members(message: Message, views: InViews) -> tuple[Said, ...]:
    counts = views.counts or (None,) * len(message.members)
    return tuple(
        said("redis.member", dimension=dimension, member=member)
        if count is None
        else said("redis.member_count", dimension=dimension, member=member, count=count)
        for (dimension, member), count in zip(message.members, counts, strict=True)
    )


def bucket_of(time: datetime, window: Window) -> int:
    """Return the start of the bucket of an event, in ms since 1970."""
    return _ms(time) // window.bucket_ms * window.bucket_ms


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _time(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)
