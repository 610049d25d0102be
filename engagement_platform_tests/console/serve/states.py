"""Samples of a stream in each state, as the reading gives them: what is wrong is judged by the real rules."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engagement_platform.adapters.redis.ranking_script import Ranked
from engagement_platform.console.serve.sampler import Point, Ranking, Sample, StreamSample
from engagement_platform.domain.conditions import Condition
from engagement_platform.domain.dead_letters import DeadLetterState
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.judgement.partner import PARTNER
from engagement_platform.domain.latency import Histogram, to_object
from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.open_letters import LetterCounts, OpenLetters
from engagement_platform.domain.shard_status import ShardStatus, over_all
from engagement_platform.domain.status import LoopStatus
from engagement_platform.health.conditions import conditions_of
from engagement_platform.health.read import Status, terms_of
from engagement_platform.stream.registry import DIVIDED, NAMES
from engagement_platform_tests.console.serve.conftest import NOWHERE

RUN = "0b1f7a52-3f0e-4c0a-9d21-6a9be1f5c0de"
REDIS = "Redis at 127.0.0.1:6379"
KAFKA = "Kafka at 127.0.0.1:9092"
SOURCE = "the source"
OUTAGE = 754.0
"""Seconds for which what is broken has been so."""
LATENCIES = {"relay": (0.011, 0.034), "tally": (0.021, 0.073), "stage": (2.7, 5.4), "forward": (0.083, 0.190)}
"""Loop -> median and 99th percentile, in seconds."""
TITLES = (
    "The morning brief", "How the harbour was built", "نشرة المساء",
    "Deep sea, episode 12: a very long title that does not fit into one line of the page on a phone",
    "Letters from the north", "Election night", "The cook's corner", "City of bridges", "Markets today",
    "A history of salt",
)  # fmt: skip


def recent(median: float, high: float) -> dict[str, Any]:
    latencies = Histogram()
    latencies.add(median, 980)
    latencies.add(high, 20)
    return to_object(latencies.present())


def streams(loop: str, **changed: Any) -> dict[str, Any]:
    """What a loop tells that streams."""
    return {
        "events": 1_203_500,
        "lag": 4,
        "done": 1_012.3,
        "offered": 1_012.3,
        "recent_latency": recent(*LATENCIES[loop]),
        "state": {"kind": "streams", "since": 0},
        **changed,
    }


def stands(kind: str, subject: str, reason: str, lag: int = 12_261, **changed: Any) -> dict[str, Any]:
    """What a loop tells that has stood still for a while."""
    state = {"kind": kind, "since": time.time() - OUTAGE, "subject": subject, "reason": reason, **changed}
    return {"events": 1_203_500, "lag": lag, "done": 0.0, "breaker": "open", "state": state}


def snapshot(now: datetime, *, silent: float = 0.0) -> LeaseSnapshot:
    beat = now - timedelta(seconds=silent)
    lease = Lease(42, RUN, now - timedelta(minutes=7), now + timedelta(minutes=3), None, NAMES)
    loops = [Loop(RUN, name, 42, beat, beat, None) for name in NAMES]
    successor = [Loop("8c1d2e3f-aaaa", name, 43, now, now - timedelta(seconds=silent), None) for name in NAMES]
    return LeaseSnapshot(now, lease, tuple(loops + successor))


def status(told: Mapping[str, Any], *, silent: float = 0.0, **changed: Any) -> Status:
    now = datetime.now(UTC)
    loops = {name: LoopStatus(name, silent, ended=False, progress=told[name]) for name in told}
    return Status(terms_of(NOWHERE), snapshot(now, silent=silent), loops, {}, LetterCounts(), **changed)


def points(now: float, outage: tuple[str, ...] = ()) -> tuple[Point, ...]:
    """An hour of figures; loops of an outage have none at its end."""
    made = []
    for second in range(0, 3_600, 5):
        at = now - 3_600 + second
        wave = 1 + 0.35 * math.sin(second / 170) + 0.15 * math.sin(second / 13)
        spike = 6.0 if 1_500 < second < 1_590 else 1.0
        there = [loop for loop in LATENCIES if loop not in outage or at < now - OUTAGE]
        made.append(
            Point(
                at,
                dict.fromkeys(there, 1000 * wave),
                {loop: LATENCIES[loop][0] * wave for loop in there},
                {loop: LATENCIES[loop][1] * wave * spike for loop in there},
            )
        )
    return tuple(made)


def ranking(shift: int = 0) -> Ranking:
    rows = [
        Ranked(f"content-{number}", int(9_800 / (number + 1) ** 0.7) + shift * 37 * number, {"title": title})
        for number, title in enumerate(TITLES)
    ]
    return Ranking("content", "count", tuple(sorted(rows, key=lambda row: -row.value)), 600.0)


def leases(now: datetime) -> tuple[Lease, ...]:
    made = []
    for number in range(6):
        claimed = now - timedelta(minutes=7 + 10 * number)
        ends = claimed + timedelta(minutes=10 if number != 3 else 14)
        made.append(Lease(42 - number, f"{number}{RUN[1:]}", claimed, ends, ends if number else None, NAMES))
    return tuple(made)


def sample(
    present: Status | EngagementError, outage: tuple[str, ...] = (), others: tuple[Condition, ...] = (), **changed: Any
) -> Sample:
    now = time.time()
    stream = StreamSample(
        "engagement", present, NOWHERE, ranking(), points(now, outage), leases(datetime.now(UTC)), **changed
    )
    return sample_of({"engagement": stream}, others)


def sample_of(of: Mapping[str, StreamSample], others: tuple[Condition, ...] = ()) -> Sample:
    judged = conditions_of({name: one.status for name, one in of.items()}, time.time(), others)
    return Sample(1, time.time(), of, (), tuple(judged))


def well(**loops: Any) -> Sample:
    return sample(status({**{name: streams(name) for name in NAMES}, **loops}))


def redis_is_away() -> Sample:
    reason = f"{REDIS} does not answer (ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused.)."
    made = well(tally=stands("waits", REDIS, reason))
    stream = replace(made.streams["engagement"], points=points(time.time(), ("tally",)), ranking=Unavailable(reason))
    return sample_of({"engagement": stream})


def partner_is_down() -> Sample:
    reason = "status 503: the service is being maintained"
    told = {**{name: streams(name) for name in NAMES}, "forward": stands("waits", PARTNER, reason)}
    settled = datetime.now(UTC) - timedelta(seconds=OUTAGE)
    return sample(status(told, settled_to=settled), ("forward",))


def partner_refuses() -> Sample:
    reason = "The partner's API cannot be used: status 401: it does not accept our credentials."
    remedy = "Put ENGAGEMENT_API_URL and the other settings of the API right, or ask the partner."
    told = {**{name: streams(name) for name in NAMES}, "forward": stands("stopped", "", reason, remedy=remedy)}
    return sample(status(told), ("forward",))


def kafka_is_away() -> Sample:
    reason = f"{KAFKA} does not answer (NoBrokersAvailable)."
    told = {name: stands("waits", KAFKA, reason, lag=12_261 if name == "relay" else 0) for name in NAMES}
    return sample(status(told), NAMES)


def source_is_away() -> Sample:
    reason = "The source does not answer (OperationalError: connection to server at 127.0.0.1, port 5432 failed)."
    told = {**{name: streams(name, done=0.0, lag=0) for name in NAMES}, "relay": stands("waits", SOURCE, reason)}
    return sample(status(told), NAMES)


def source_refuses() -> Sample:
    reason = "The source refuses the read: permission denied for table engagement_events."
    remedy = "Let the owner run: GRANT SELECT ON engagement_events, content TO engagement_reader"
    told = {
        **{name: streams(name, done=0.0, lag=0) for name in NAMES},
        "relay": stands("refused", SOURCE, reason, remedy=remedy),
    }
    return sample(status(told), NAMES)


def nobody_streams() -> Sample:
    return sample(status({name: streams(name) for name in NAMES}, silent=OUTAGE), NAMES)


def a_shard_is_left() -> Sample:
    """Of two shards that divide the partitions, the second has lost its run."""
    now = datetime.now(UTC)
    divided = [name for name in NAMES if name in DIVIDED]
    shards = (
        ShardStatus(
            0, snapshot(now), {name: LoopStatus(name, 0.0, ended=False, progress=streams(name)) for name in NAMES}
        ),
        ShardStatus(
            1,
            snapshot(now, silent=OUTAGE),
            {name: LoopStatus(name, OUTAGE, ended=False, progress=streams(name)) for name in divided},
        ),
    )
    made = Status(terms_of(NOWHERE), shards[0].snapshot, over_all(shards, DIVIDED), {}, LetterCounts(), shards=shards)
    return sample(made, ("tally",))


def rests() -> Sample:
    """A stream that is drained now and then, whose last run ended two days ago."""
    drained = status({name: streams(name) for name in NAMES})
    lease, ended = drained.snapshot.lease, drained.snapshot.now - timedelta(days=2)
    assert lease is not None
    lease = replace(lease, claimed_at=ended - timedelta(minutes=10), ends_at=ended, released_at=ended)
    loops = {name: replace(loop, silent_seconds=172_800.0, ended=True) for name, loop in drained.loops.items()}
    of_run = [Loop(RUN, name, 42, ended, ended, ended) for name in NAMES]
    return sample(
        replace(
            drained,
            terms=replace(drained.terms, is_kept_alive=False),
            snapshot=LeaseSnapshot(drained.snapshot.now, lease, tuple(of_run)),
            loops=loops,
        ),
        NAMES,
    )


def database_is_away() -> Sample:
    return sample(
        Unavailable(
            "The platform database does not answer (OperationalError: connection refused).",
            "Check that it runs and ENGAGEMENT_PLATFORM_DSN is right.",
            server="the platform database",
        ),
        NAMES,
    )


def letters_and_a_pause(lag: int = 4) -> Sample:
    """Two things that somebody has to look at, while every promise is kept."""
    open_letters = OpenLetters("forward", 37, time.time() - 5_400, "status 422: the field device is unknown")
    letters = LetterCounts({DeadLetterState.OPEN: 37}, (open_letters,))
    pause = Pause("stage", datetime.now(UTC) - timedelta(minutes=5), "nour@host", "the warehouse is being moved")
    told = {**{name: streams(name) for name in NAMES}, "stage": streams("stage", lag=lag)}
    return sample(replace(status(told), letters=letters, pauses={"stage": pause}))


def renamed(shown: Sample, name: str) -> StreamSample:
    """Return the stream of a sample as another stream."""
    (stream,) = shown.streams.values()
    assert isinstance(stream.status, Status)
    status = replace(stream.status, terms=replace(stream.status.terms, stream=name))
    return replace(stream, name=name, status=status)


STATES = {
    "well": well,
    "redis": redis_is_away,
    "partner-down": partner_is_down,
    "partner-refuses": partner_refuses,
    "kafka": kafka_is_away,
    "source": source_is_away,
    "source-refuses": source_refuses,
    "nobody": nobody_streams,
    "shard": a_shard_is_left,
    "database": database_is_away,
    "letters": letters_and_a_pause,
}
"""Name -> what makes the sample."""
