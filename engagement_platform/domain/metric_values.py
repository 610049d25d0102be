"""The values of the metrics, from what was read: facts in, samples out. What is not known has no sample."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engagement_platform.domain import metrics, progress
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.dagster_facts import CheckStatus, DagsterFacts, DayStatus, Tick
from engagement_platform.domain.latency import Latencies
from engagement_platform.domain.leases import LeaseSnapshot, alive
from engagement_platform.domain.loop_state import STREAMING, Activity, Pause
from engagement_platform.domain.metrics import Metric
from engagement_platform.domain.progress import Counter, Figures, Gauge
from engagement_platform.domain.shard_status import ShardStatus
from engagement_platform.domain.status import LoopStatus, stands_still


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | str | Latencies
    """Of a state set its state, of a histogram the latencies; else a number."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the platform's database keeps of a stream beside its loops."""

    checkpoint_at: float | None = None
    """When the copy of the relay's checkpoint last moved."""
    checkpoint_id: int = 0
    open_gaps: int = 0
    oldest_gap_at: float | None = None
    open_loads: int = 0
    last_load_at: float | None = None
    due_days: int = 0


@dataclass(frozen=True, slots=True)
class StreamReading:
    """What was read of one stream."""

    name: str
    destinations: Mapping[str, str]
    """Loop -> where it brings events, for all loops that there should be."""
    promises: Mapping[str, float]
    """Destination -> how soon events are promised there."""
    is_kept_alive: bool
    snapshot: LeaseSnapshot
    loops: Mapping[str, LoopStatus]
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    totals: Mapping[str, Figures] = field(default_factory=dict)
    """Empty before they were read."""
    letters: Mapping[tuple[str, str, str], int] | None = None
    """Source, word for the reason and state -> how many; None where nobody knows."""
    kept: Kept | None = None
    shards: Sequence[ShardStatus] = ()
    """The runs that divide the partitions; empty where one reads all."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read at about one moment."""

    at: float
    """Seconds since 1970."""
    version: str
    python: str
    streams: Mapping[str, StreamReading | None]
    """None for a stream of which nothing can be read."""
    conditions: Sequence[Condition] = ()
    dagster: DagsterFacts | None = None
    """None where it was not asked, or does not answer."""
    is_dagster_asked: bool = False


def samples(reading: Reading) -> Iterator[Sample]:
    """Yield the samples of all metrics."""
    yield Sample(metrics.READ_AT, (), reading.at)
    yield Sample(metrics.BUILD, (reading.version, reading.python), 1.0)
    yield from _of_conditions(reading.conditions)
    for name, stream in reading.streams.items():
        yield Sample(metrics.UP, (name,), float(stream is not None))
        if stream is not None:
            yield from _of_stream(stream, reading.at)
    if reading.is_dagster_asked:
        yield Sample(metrics.DAGSTER_UP, (), float(reading.dagster is not None))
    if reading.dagster is not None:
        yield from _of_dagster(reading.dagster)


def _of_conditions(conditions: Sequence[Condition]) -> Iterator[Sample]:
    for severity in Severity:
        number = sum(condition.severity is severity for condition in conditions)
        yield Sample(metrics.CONDITIONS, (severity.value,), number)
    told = {(one.stream, one.kind.value, one.severity.value, _bounded(one)) for one in conditions}
    yield from (Sample(metrics.CONDITION, labels, 1.0) for labels in sorted(told))


def _bounded(condition: Condition) -> str:
    """Return the subject as a label, without what is another one each time: a backfill's id."""
    return "" if condition.kind is Kind.BACKFILL_FAILED else condition.subject


# A stream


def _of_stream(stream: StreamReading, at: float) -> Iterator[Sample]:
    name = (stream.name,)
    lives = all(shard.lives for shard in stream.shards) if stream.shards else alive(stream.snapshot)
    yield Sample(metrics.STREAMING, name, float(lives))
    yield Sample(metrics.KEPT_ALIVE, name, float(stream.is_kept_alive))
    yield Sample(metrics.EPOCH, name, stream.snapshot.epoch)
    yield Sample(metrics.HAND_OVERS, name, max(0, stream.snapshot.epoch - 1))
    if stream.snapshot.lease is not None:
        yield Sample(metrics.LEASE_END, name, stream.snapshot.lease.ends_at.timestamp())
    for shard in stream.shards:
        yield from _of_shard(stream, shard)
    for loop, destination in stream.destinations.items():
        yield from _of_loop(stream, loop, destination, at)
        if loop in stream.totals:
            yield from _of_totals(stream.name, loop, destination, stream.totals[loop])
    for destination, seconds in stream.promises.items():
        yield Sample(metrics.PROMISE, (stream.name, destination), seconds)
    yield from _of_servers(stream)
    if stream.letters is not None:
        for (source, reason, state), number in sorted(stream.letters.items()):
            yield Sample(metrics.LETTERS, (stream.name, source, reason, state), number)
    if stream.kept is not None:
        yield from _of_kept(stream.name, stream.kept)


def _of_shard(stream: StreamReading, shard: ShardStatus) -> Iterator[Sample]:
    which, now = (stream.name, str(shard.index)), shard.snapshot.now.timestamp()
    yield Sample(metrics.SHARD_STREAMING, which, float(shard.lives))
    lease = shard.snapshot.lease
    for name in () if lease is None else lease.loops:
        status = shard.loops.get(name)
        is_still = not shard.lives or stands_still(status, stream.pauses.get(name), now)
        yield Sample(metrics.SHARD_PASSING, (*which, name), float(not is_still))
        if status is None:
            continue
        if status.lag is not None and shard.lives:
            yield Sample(metrics.SHARD_LAG, (*which, name), status.lag)
        if (as_of := status.figures.gauge(progress.AS_OF)) is not None:
            yield Sample(metrics.SHARD_AS_OF, (*which, name), as_of)


def loop_state(stream: StreamReading, loop: str) -> str:
    """Return what a loop does, as one of `metrics.LOOP_STATES`."""
    status = stream.loops.get(loop)
    if loop in stream.pauses and (status is None or status.ended):
        return "paused"
    if status is None:
        return "absent"
    if status.ended:
        return "ended"
    if status.is_silent:
        return "silent"
    state = status.state
    return (Activity.STREAMS if state is None else state.kind).value.replace(" ", "_")


_GAUGES_OF_LOOPS: tuple[tuple[Metric, Gauge], ...] = (
    (metrics.LAG, progress.LAG),
    (metrics.OFFERED, progress.OFFERED),
    (metrics.SHARE, progress.SHARE),
)
_GAUGES_OF_STREAMS: Mapping[str, tuple[tuple[Metric, Gauge], ...]] = {
    "relay": ((metrics.OPEN_IDS, progress.OPEN_IDS),),
    "stage": (
        (metrics.ROWS, progress.TABLE_ROWS),
        (metrics.FILES, progress.TABLE_FILES),
        (metrics.SIZE, progress.TABLE_BYTES),
    ),
    "forward": ((metrics.IN_FLIGHT, progress.IN_FLIGHT),),
}


def _of_loop(stream: StreamReading, loop: str, destination: str, at: float) -> Iterator[Sample]:
    which = (stream.name, loop)
    yield Sample(metrics.STATE, which, loop_state(stream, loop))
    status = stream.loops.get(loop)
    if status is None:
        return
    beat_at = at - status.silent_seconds
    yield Sample(metrics.HEARTBEAT, which, beat_at)
    figures = status.figures
    if figures.state is not None:
        yield Sample(metrics.STATE_SINCE, which, figures.state.since)
    if (as_of := figures.gauge(progress.AS_OF)) is not None:
        # What it told last is as old as its heartbeat, which is no lag while it lives.
        until = beat_at if not (status.ended or status.is_silent) else at
        yield Sample(metrics.AS_OF, (*which, destination), as_of)
        yield Sample(metrics.LAG_SECONDS, (*which, destination), max(0.0, until - as_of))
    if not status.is_silent:  # else it may not be true any more
        yield from _gauges(which, figures, _GAUGES_OF_LOOPS)
        yield from _gauges((stream.name,), figures, _GAUGES_OF_STREAMS.get(loop, ()))
        if loop == "forward" and progress.BREAKER in figures.choices:
            yield Sample(metrics.BREAKER, (stream.name,), figures.choices[progress.BREAKER])


def _gauges(labels: tuple[str, ...], figures: Figures, gauges: Sequence[tuple[Metric, Gauge]]) -> Iterator[Sample]:
    for metric, gauge in gauges:
        if (value := figures.gauge(gauge)) is not None:
            yield Sample(metric, labels, value)


_COUNTERS_OF_STREAMS: Mapping[str, tuple[tuple[Metric, Counter], ...]] = {
    "tally": ((metrics.REFUSED_BATCHES, progress.REFUSED),),
    "stage": ((metrics.LOADS, progress.BATCHES), (metrics.LOADED_ROWS, progress.ROWS)),
    "forward": (
        (metrics.REQUESTS, progress.REQUESTS),
        (metrics.RETRIES, progress.RETRIES),
        (metrics.FAILED_REQUESTS, progress.FAILED),
        (metrics.DECLINED_REQUESTS, progress.DECLINED),
        (metrics.HALVED, progress.HALVED),
        (metrics.UNRECORDED, progress.UNRECORDED),
    ),
}
_UNCOUNTED = {"late": progress.LATE, "future": progress.FUTURE, "unreadable": progress.UNREADABLE}
_LETTERS = {
    "relay": (progress.REJECTED,),
    "stage": (progress.REJECTED,),
    "forward": (progress.REJECTED, progress.DEAD_LETTERS),
}


def _of_totals(stream: str, loop: str, destination: str, figures: Figures) -> Iterator[Sample]:
    for metric, counter in ((metrics.EVENTS, progress.EVENTS), (metrics.BYTES, progress.BYTES)):
        yield Sample(metric, (stream, loop), figures.count(counter))
    if loop != "forward":
        yield Sample(metrics.BATCHES, (stream, loop), figures.count(progress.BATCHES))
    if loop != "relay":
        yield Sample(metrics.DUPLICATES, (stream, loop), figures.count(progress.DUPLICATES))
    for metric, counter in _COUNTERS_OF_STREAMS.get(loop, ()):
        yield Sample(metric, (stream,), figures.count(counter))
    if loop == "tally":
        for reason, counter in _UNCOUNTED.items():
            yield Sample(metrics.UNCOUNTED, (stream, reason), figures.count(counter))
    if loop in _LETTERS:
        yield Sample(metrics.LETTERS_WRITTEN, (stream, loop), sum(figures.count(one) for one in _LETTERS[loop]))
    yield Sample(metrics.LATENCY, (stream, destination), figures.latency)


_SERVERS = {
    "source": ("the source",),
    "kafka": ("Kafka at ",),
    "redis": ("Redis at ", "Redis' clock"),
    "warehouse": ("BigQuery", "the warehouse"),
    "partner": ("the partner's API",),
    "platform_database": ("the platform database",),
}
"""Server -> how the state of a loop begins that waits for it."""
_USERS = {
    "source": ("relay",),
    "kafka": ("relay", "tally", "stage", "forward"),
    "redis": ("tally",),
    "warehouse": ("stage",),
    "partner": ("forward",),
    "platform_database": (),
}


def _of_servers(stream: StreamReading) -> Iterator[Sample]:
    states = {loop: status.state for loop, status in stream.loops.items() if not (status.ended or status.is_silent)}
    waited_for = [
        state.subject for state in states.values() if state and state.kind in (Activity.WAITS, Activity.REFUSED)
    ]
    for server, beginnings in _SERVERS.items():
        working = [state for loop in _USERS[server] if (state := states.get(loop)) and state.kind in STREAMING]
        if any(subject.startswith(beginnings) for subject in waited_for):
            yield Sample(metrics.REACHABLE, (stream.name, server), 0.0)
        elif working or server == "platform_database":  # of which this was read
            yield Sample(metrics.REACHABLE, (stream.name, server), 1.0)


def _of_kept(stream: str, kept: Kept) -> Iterator[Sample]:
    name = (stream,)
    if kept.checkpoint_at is not None:
        yield Sample(metrics.CHECKPOINT_AT, name, kept.checkpoint_at)
        yield Sample(metrics.CHECKPOINT_ID, name, kept.checkpoint_id)
        yield Sample(metrics.OPEN_GAPS, name, kept.open_gaps)
    if kept.oldest_gap_at is not None:
        yield Sample(metrics.OLDEST_GAP, name, kept.oldest_gap_at)
    yield Sample(metrics.OPEN_LOADS, name, kept.open_loads)
    yield Sample(metrics.DUE_DAYS, name, kept.due_days)
    if kept.last_load_at is not None:
        yield Sample(metrics.LAST_LOAD, name, kept.last_load_at)


# Dagster


def _of_dagster(facts: DagsterFacts) -> Iterator[Sample]:
    for runs in facts.runs:
        yield Sample(metrics.RUNS, (runs.status.value,), runs.number)
        if runs.oldest_seconds is not None:
            yield Sample(metrics.OLDEST_RUN, (runs.status.value,), facts.at - runs.oldest_seconds)
    yield from _counted(metrics.FAILED_RUNS, [(run.stream, run.job) for run in facts.runs_to_mend])
    for tick in facts.ticks:
        yield Sample(metrics.AUTOMATION_ON, (tick.name,), float(tick.is_on))
        if tick.at is not None:
            yield Sample(metrics.TICK_AT, (tick.name,), tick.at)
            yield Sample(metrics.TICK_FAILED, (tick.name,), float(tick.outcome is Tick.FAILURE))
    for daemon in facts.daemons:
        yield Sample(metrics.DAEMON_HEALTHY, (daemon.name,), float(daemon.is_healthy))
        if daemon.at is not None:
            yield Sample(metrics.DAEMON_AT, (daemon.name,), daemon.at)
    for check in facts.checks:
        failed = check.status is CheckStatus.FAILED
        level = "error" if check.is_error else "warning"
        yield Sample(metrics.CHECK_FAILED, (check.stream, check.asset, check.name, level), float(failed))
    yield from _counted(metrics.BACKFILLS, [(backfill.status.value,) for backfill in facts.backfills])
    yield Sample(metrics.FAILED_BACKFILLS, (), len(facts.failed_backfills(facts.at)))
    for table in facts.tables:
        which = (table.stream, table.name)
        for status in DayStatus:
            yield Sample(metrics.DAYS, (*which, status.value), len(table.in_status(status)))
        yield Sample(metrics.STALE_DAYS, which, len(table.stale))
        yield Sample(metrics.CHECK_FAILED_DAYS, which, len(table.failed_checks))


def _counted(metric: Metric, labels: Sequence[tuple[str, ...]]) -> Iterator[Sample]:
    for each in sorted(set(labels)):
        yield Sample(metric, each, labels.count(each))
