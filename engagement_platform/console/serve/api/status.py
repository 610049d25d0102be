"""How the streams stand, as the latest sample has it: the same that the page shows and `engagement-platform status`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from engagement_platform.console.serve.api.operation import PREFIX, Asked, OfStream, Operation, stream_of
from engagement_platform.domain.conditions import Condition, Severity, is_well
from engagement_platform.domain.dead_letters import DeadLetterState
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.progress import DONE, EVENTS
from engagement_platform.domain.status import LoopStatus, Summary, loop_in_words, sum_up
from engagement_platform.health.read import Status
from engagement_platform.stream.registry import LOOPS

if TYPE_CHECKING:
    from engagement_platform.console.serve.sampler import Sample, StreamSample


class ConditionNow(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    kind: Annotated[str, Meta(description="Stays the same, for rules of others.")]
    severity: Annotated[Severity, Meta(description="critical: a promise is not kept. warning: somebody has to act.")]
    stream: Annotated[str, Meta(description="Empty for what concerns all streams.")]
    subject: Annotated[str, Meta(description="The loop, check, job or backfill that it is about.")]
    since: datetime
    what: str
    means: str
    todo: str
    page: Annotated[str, Meta(description="Path of the page that shows more; may be empty.")]


class Conditions(msgspec.Struct, frozen=True):
    """All that is wrong at this moment, the most important first. Empty: all is well."""

    as_of: datetime
    conditions: list[ConditionNow]


class Lease(msgspec.Struct, frozen=True):
    """The run that streams, or did last."""

    run_id: str
    epoch: int
    ends_at: datetime
    released_at: datetime | None


class ShardNow(msgspec.Struct, frozen=True):
    """One of several runs that divide the partitions."""

    shard: int
    streams: Annotated[bool, Meta(description="Whether a run has it and lives.")]
    lease: Lease | None


class HandOver(msgspec.Struct, frozen=True):
    """A run took over the stream."""

    run_id: str
    epoch: int
    claimed_at: datetime
    ends_at: Annotated[datetime, Meta(description="When its lease ends, or ended; it goes on until a successor comes.")]
    released_at: Annotated[datetime | None, Meta(description="When it gave the stream back, with no successor.")]


class HandOvers(msgspec.Struct, frozen=True):
    """The last hand-overs, the newest first."""

    stream: str
    as_of: datetime
    hand_overs: list[HandOver]


class LoopNow(msgspec.Struct, frozen=True):
    """One loop of the run that streams."""

    loop: str
    destination: Annotated[str, Meta(description="Where it brings events: kafka, redis, warehouse or partner.")]
    state: Annotated[
        str, Meta(description="What it does, such as `streams` or `waits`; `silent`, `ended`, `has not begun`.")
    ]
    words: Annotated[str, Meta(description="The same as a person reads it, with since when and why.")]
    is_paused: bool
    promise_seconds: Annotated[float | None, Meta(description="Within so long an event is promised to arrive.")]
    heartbeat_age_seconds: float | None
    events: Annotated[int | None, Meta(description="That it has handled in this run.")]
    events_per_second: float | None
    lag: Annotated[int | None, Meta(description="Events that wait for it.")]
    p50_seconds: Annotated[float | None, Meta(description="From commit to destination, of the last minute.")]
    p99_seconds: float | None


class StreamNow(msgspec.Struct, frozen=True):
    """One stream."""

    name: str
    well: bool
    sentence: Annotated[str, Meta(description="Whether all is well, or what is not.")]
    readable: Annotated[bool, Meta(description="Whether it is known how it stands; if not, the sentence says why.")]
    lease: Lease | None
    loops: list[LoopNow]
    dead_letters: Annotated[
        dict[str, int] | None, Meta(description="State of letters -> how many; null where it is not known.")
    ]
    shards: Annotated[list[ShardNow], Meta(description="Empty where one run reads all partitions.")] = []


class Run(msgspec.Struct, frozen=True):
    """A run of Dagster that rebuilds, compares or sums up days."""

    run_id: str
    job: str
    subject: Annotated[str, Meta(description="The days that it is about.")]
    begun_at: datetime
    silent_seconds: Annotated[float, Meta(description="Since its last sign of life.")]


class StatusNow(msgspec.Struct, frozen=True):
    """How the streams stand."""

    as_of: Annotated[datetime, Meta(description="When it was read.")]
    well: bool
    sentence: str
    streams: list[StreamNow]
    runs: list[Run]


def status(asked: Asked[OfStream, None]) -> StatusNow:
    """Return how the streams stand."""
    sample = asked.site.sampler.look()
    chosen = _chosen(asked, sample)
    summaries = {name: summary_of(each, sample.conditions) for name, each in chosen.items()}
    whole = sum_up(summaries)
    return StatusNow(
        as_of=time_of(sample.at),
        well=whole.well,
        sentence=whole.sentence,
        streams=[_stream(each, summaries[name]) for name, each in chosen.items()],
        runs=[Run(run.run_id, run.job, run.subject, run.begun_at, run.silent_seconds) for run in sample.runs],
    )


def conditions(asked: Asked[OfStream, None]) -> Conditions:
    """Return what is wrong; of one stream also what concerns all."""
    sample = asked.site.sampler.look()
    name = asked.parameters.stream and stream_of(asked.site, asked.parameters.stream)
    found = [one for one in sample.conditions if not name or one.stream in ("", name)]
    return Conditions(time_of(sample.at), [condition_now(one) for one in found])


def hand_overs(asked: Asked[OfStream, None]) -> HandOvers:
    """Return the last hand-overs of a stream."""
    name = stream_of(asked.site, asked.parameters.stream)
    sample = asked.site.sampler.look()
    leases = sample.streams[name].leases
    told = [HandOver(one.run_id, one.epoch, one.claimed_at, one.ends_at, one.released_at) for one in leases]
    return HandOvers(name, time_of(sample.at), told)


def condition_now(one: Condition) -> ConditionNow:
    """Return a condition as the API says it."""
    return ConditionNow(
        kind=one.kind.value,
        severity=one.severity,
        stream=one.stream,
        subject=one.subject,
        since=time_of(one.since),
        what=one.what,
        means=one.means,
        todo=one.todo,
        page=one.page,
    )


def summary_of(stream: "StreamSample", conditions: Sequence[Condition]) -> Summary:
    """Return the sentence that comes first: all is well where no condition concerns the stream, as the page has it."""
    if isinstance(stream.status, EngagementError):
        return Summary(well=False, sentence=str(stream.status))
    summary = stream.status.summary
    concerned = [one for one in conditions if one.stream in ("", stream.name)]
    if not is_well(concerned) and summary.well:
        return Summary(well=False, sentence=concerned[0].what)
    return Summary(is_well(concerned), summary.sentence)


def time_of(at: float) -> datetime:
    """Return seconds since 1970 as a time."""
    return datetime.fromtimestamp(at, UTC)


def _chosen(asked: Asked[OfStream, None], sample: "Sample") -> Mapping[str, "StreamSample"]:
    if asked.parameters.stream is None:
        return sample.streams
    name = stream_of(asked.site, asked.parameters.stream)
    return {name: sample.streams[name]}


def _stream(sample: "StreamSample", summary: Summary) -> StreamNow:
    status = sample.status
    if isinstance(status, EngagementError):
        return StreamNow(
            sample.name, summary.well, summary.sentence, readable=False, lease=None, loops=[], dead_letters=None
        )
    return StreamNow(
        name=sample.name,
        well=summary.well,
        sentence=summary.sentence,
        readable=True,
        lease=_lease(status.snapshot),
        shards=[ShardNow(one.index, one.lives, _lease(one.snapshot)) for one in status.shards if status.is_divided],
        loops=_loops(status),
        dead_letters=None
        if isinstance(status.letters, str)
        else {state.value: status.letters.get(state, 0) for state in DeadLetterState},
    )


def _lease(snapshot: LeaseSnapshot) -> Lease | None:
    lease = snapshot.lease
    return None if lease is None else Lease(lease.run_id, lease.epoch, lease.ends_at, lease.released_at)


def _loops(status: Status) -> list[LoopNow]:
    promises = {one.name: one.promise for one in status.terms.expected}
    return [
        _loop(
            loop.name,
            loop.destination,
            promises.get(loop.name),
            status.loops.get(loop.name),
            status.pauses.get(loop.name),
        )
        for loop in LOOPS
    ]


def _loop(name: str, destination: str, promise: float | None, loop: LoopStatus | None, pause: Pause | None) -> LoopNow:
    figures = None if loop is None else loop.figures
    return LoopNow(
        loop=name,
        destination=destination,
        state=_state(loop),
        words=loop_in_words(loop, pause),
        is_paused=pause is not None,
        promise_seconds=promise,
        heartbeat_age_seconds=None if loop is None else loop.silent_seconds,
        events=None if figures is None else figures.count(EVENTS),
        events_per_second=None if figures is None else figures.gauge(DONE),
        lag=None if loop is None else loop.lag,
        p50_seconds=None if figures is None else figures.recent_latency.quantile(0.5),
        p99_seconds=None if figures is None else figures.recent_latency.quantile(0.99),
    )


def _state(loop: LoopStatus | None) -> str:
    if loop is None:
        return "has not begun"
    if loop.ended:
        return "ended"
    if loop.is_silent:
        return "silent"
    return "streams" if loop.state is None else loop.state.kind.value


OPERATIONS = (
    Operation(
        "GET", f"{PREFIX}/status", "status", "How the streams stand", StatusNow, status, OfStream, of_sample=True,
    ),
    Operation(
        "GET", f"{PREFIX}/conditions", "conditions", "What is wrong at this moment", Conditions, conditions, OfStream,
        of_sample=True,
    ),
    Operation(
        "GET", f"{PREFIX}/hand-overs", "hand_overs", "Which runs have streamed lately", HandOvers, hand_overs, OfStream,
        of_sample=True,
    ),
)  # fmt: skip
