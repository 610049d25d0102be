"""The three soaks, each with its figures, and all of them in short. Every promise is a figure whose budget is 0."""

import random
import time

from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.live import latencies
from engagement_platform_tests.soak.evidence import Evidence
from engagement_platform_tests.soak.partner import MIX, Scene, moody, scene, watched
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.warehouse import source_ids

P50_MS, P99_MS = 30, 120
"""The budget at 1,000 events a second."""
GROWTH_MB = 8
CATCH_UP_PER_SECOND = 5_000


def misbehaving(endpoints: Endpoints, seconds: float, rate: float, every: float, away: float) -> list[Figure]:
    """Let the partner misbehave at random, another way every few seconds.

    Before that it is away for a while, so that forward holds as many events as it ever does: what its memory grows by
    later is not given back.
    """
    with scene(endpoints, rate) as on:
        on.receiver.down()
        time.sleep(away)
        full = on.forward.memory()
        on.receiver.up()
        with watched(on.forward) as memory, moody(on.receiver, every, seed=5):
            time.sleep(seconds)
        seen = on.settle()
        redis, first = on.measuring.seen, memory.most(0, 0.25)
        return [
            *promises(on, seen),
            *latencies("throughout", redis.latency_ms, p50=P50_MS, p99=P99_MS),
            Figure("events later than 5 s in Redis", redis.late, at_most=0),
            Figure("forward's memory, full of events that wait", full, "MB"),
            Figure("the same, most in the first quarter of the time", first, "MB"),
            Figure("the same, most in the last quarter", memory.most(0.75, 1), "MB", at_most=first + GROWTH_MB),
        ]


def outage(endpoints: Endpoints, seconds: float, rate: float) -> list[Figure]:
    """Let the partner be away once, for long."""
    with scene(endpoints, rate) as on:
        return [
            *_absent(on, seconds),
            *promises(on, on.settle()),
            *latencies("throughout", on.measuring.seen.latency_ms),
        ]


def _absent(on: Scene, seconds: float) -> list[Figure]:
    """Take the partner away, bring it back, and measure how fast it gets what has waited."""
    on.receiver.down()
    time.sleep(seconds)
    waiting = set(source_ids(on.place.source)) - on.delivered()
    before = on.receiver.state.events
    on.receiver.up()
    wait_for(lambda: on.receiver.state.events > before, "the partner to be tried again")
    began, count = time.monotonic(), on.receiver.state.events
    wait_for(lambda: on.receiver.state.events - before >= len(waiting), "what has waited", seconds=120)
    took = time.monotonic() - began
    speed = (on.receiver.state.events - count) / took
    return [
        Figure("events that waited", len(waiting)),
        Figure("then delivered, as the partner sees it", speed, "/s", at_least=CATCH_UP_PER_SECOND),
        Figure("most events in a request", on.receiver.state.largest, at_least=200),
    ]


def kills(endpoints: Endpoints, times: int, rate: float) -> list[Figure]:
    """Kill forward at random moments beside a partner that misbehaves."""
    with scene(endpoints, rate) as on:
        on.receiver.behave(MIX)
        _kill(on, times, longest=4.0)
        return [Figure("times killed", times), *promises(on, on.settle())]


def _kill(on: Scene, times: int, longest: float) -> None:
    """Kill forward and start it again, each time after some seconds."""
    luck = random.Random(11)
    for _ in range(times):
        time.sleep(luck.uniform(0.2, longest))
        on.forward.kill()
        on.forward.start()


def in_short(endpoints: Endpoints) -> list[Figure]:
    """Do all of it to one stream: the partner is away, then it misbehaves, at last forward is killed beside that."""
    with scene(endpoints, rate=500) as on:
        figures = _absent(on, seconds=5)
        with watched(on.forward), moody(on.receiver, every=1.0, seed=5):
            time.sleep(4)
            _kill(on, times=3, longest=2.0)
        return [*figures, *promises(on, on.settle())]


def promises(on: Scene, seen: Evidence) -> list[Figure]:
    """Return what must not be, and what was there to be seen."""
    return [
        Figure("events in the source", len(source_ids(on.place.source))),
        Figure("events neither delivered nor dead letters", len(seen.missing), at_most=0),
        Figure("events from nowhere", len(seen.unknown), at_most=0),
        Figure("events out of order in their content", len(seen.out_of_order), at_most=0),
        Figure("events whose key has changed", len(seen.other_keys), at_most=0),
        Figure("requests with a wrong signature, or malformed", _wrong(on), at_most=0),
        Figure("dead letters", len(on.letters())),
        Figure("deliveries", len(on.receiver.deliveries)),
        Figure("of these, repeats", seen.repeats),
    ]


def _wrong(on: Scene) -> int:
    return on.receiver.state.unsigned + on.receiver.state.malformed
