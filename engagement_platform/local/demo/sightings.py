"""What the measuring process tells the demo, one line of JSON at a time."""

import msgspec

from engagement_platform.local.demo.visibility import PROMISE_MS, Latencies, Visibility


class Quantiles(msgspec.Struct, frozen=True):
    """Latencies from commit to Redis, in milliseconds; None before the first."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Sighting(msgspec.Struct, frozen=True):
    """What has been seen since the measuring began."""

    at: float = 0
    """Seconds since 1970."""
    noted: int = 0
    """Events whose commit the generator has noted."""
    in_kafka: int = 0
    in_redis: int = 0
    unpublished: int = 0
    """Noted events that are not in the topic yet."""
    waiting: int = 0
    """Noted events that are not in Redis yet."""
    measured: int = 0
    late: int = 0
    latency_ms: Quantiles = Quantiles()
    last_minute_ms: Quantiles = Quantiles()
    longest_gap_ms: float = 0
    slowest: tuple[tuple[float, int, int], ...] = ()
    """Milliseconds, time of the commit in nanoseconds since 1970, and id."""
    first_visible_ns: int | None = None
    cpu_seconds: float = 0
    """CPU time that the measuring itself took."""
    final: bool = False


def quantiles(latencies: Latencies) -> Quantiles:
    """Return the figures that are reported."""
    return Quantiles(*(latencies.quantile(share) for share in (0.5, 0.95, 0.99, 1.0)))


def sighting(seen: Visibility, now_ns: int, cpu_seconds: float, *, final: bool = False) -> Sighting:
    """Return what to tell."""
    return Sighting(
        at=now_ns / 1e9,
        noted=seen.noted,
        in_kafka=seen.in_kafka,
        in_redis=seen.in_redis,
        unpublished=max(seen.unpublished, 0),
        waiting=seen.waiting,
        measured=seen.latencies.count,
        late=seen.latencies.above(PROMISE_MS),
        latency_ms=quantiles(seen.latencies),
        last_minute_ms=quantiles(seen.last_minute.at(now_ns)),
        longest_gap_ms=round(seen.gaps.longest_ms(), 1) if final else 0,
        slowest=tuple(seen.slowest) if final else (),
        first_visible_ns=seen.first_visible_ns,
        cpu_seconds=round(cpu_seconds, 2),
        final=final,
    )


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Sighting).decode
