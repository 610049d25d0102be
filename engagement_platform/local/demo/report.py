"""The report of a timed run and its verdict. Pure."""

from collections.abc import Iterator
from typing import Any

from engagement_platform.local.demo.compare import KeyDifference, events_off, total
from engagement_platform.local.demo.reconcile import Reconciliation
from engagement_platform.local.demo.visibility import PROMISE_MS, Sighting

_SHOWN = 20


def report(
    result: Reconciliation, seen: Sighting, *, hand_overs: int, to_first: float | None, rate: float
) -> dict[str, Any]:
    """Return what was measured, ready for JSON. Times end in their unit; `rate` is events a second."""
    missing, surplus = events_off(result.views)
    return {
        "committed": result.committed,
        "in_kafka": result.in_kafka,
        "in_redis": total(result.snapshot.views),
        "lost": len(result.topic.lost) + missing,
        "doubled": len(result.topic.doubled) + surplus,
        "late": seen.late,
        "latency_ms": {name: getattr(seen.latency_ms, name) for name in ("p50", "p95", "p99", "max")},
        "hand_overs": hand_overs,
        "seconds_to_first_event": None if to_first is None else round(to_first, 2),
        "rate": round(rate, 1),
        "measured": seen.measured,
        "unmeasured": seen.waiting,
        "longest_gap_ms": seen.longest_gap_ms,
        "slowest": [
            {"id": event_id, "ms": round(ms, 1), "at_seconds": round((at_ns - (seen.first_visible_ns or 0)) / 1e9, 1)}
            for ms, at_ns, event_id in reversed(seen.slowest)
        ],
        "in_window": result.in_window,
        "unknown": len(result.topic.unknown),
        "dead_letters": result.dead_letters,
        "compared_from_id": result.first_id,
        "examples": {
            "lost": result.topic.lost[:_SHOWN],
            "doubled": result.topic.doubled[:_SHOWN],
            "unknown": result.topic.unknown[:_SHOWN],
            "views": [describe(difference) for difference in result.views[:_SHOWN]],
        },
    }


def describe(difference: KeyDifference) -> str:
    """Return one line about a key that differs."""
    (count, ms), (expected_count, expected_ms) = difference.actual, difference.expected
    return (
        f"{difference.dimension} {difference.member}: {count} events and {ms} ms in Redis, "
        f"{expected_count} events and {expected_ms} ms in PostgreSQL"
    )


def faults(figures: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each promise that was broken; none when the run was good."""
    if not figures["committed"] or not figures["measured"]:
        yield "Nothing flowed: no event was seen from its commit to Redis."
    if figures["lost"]:
        yield f"{figures['lost']} events were lost: they are in PostgreSQL, but not where they should be."
    if figures["doubled"]:
        yield f"{figures['doubled']} events were doubled: Kafka or Redis has them more than once."
    if figures["unknown"]:
        yield f"{figures['unknown']} events are in Kafka, but not in PostgreSQL."
    if figures["late"]:
        yield f"{figures['late']} events took more than {PROMISE_MS / 1000:.0f} s from commit to Redis."
    if figures["unmeasured"]:
        yield f"{figures['unmeasured']} committed events were never seen in Redis by the measuring process."
