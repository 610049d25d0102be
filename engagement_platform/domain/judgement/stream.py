"""What is wrong with a stream, from what was read of it: facts in, conditions out, the most important first.

Whoever shows or tells that something is wrong asks here, so that page, alerts, metrics, checks and `status` say the
same. What Dagster alone knows is judged by `judgement.dagster`.
"""

from collections.abc import Iterator

from engagement_platform.domain.conditions import Condition, Kind, Severity, by_importance
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.judgement.consequences import DOCTOR
from engagement_platform.domain.judgement.lateness import late
from engagement_platform.domain.judgement.letters import dead_letters
from engagement_platform.domain.judgement.loops import is_still, standing_still
from engagement_platform.domain.judgement.pauses import paused
from engagement_platform.domain.judgement.standing import Standing
from engagement_platform.domain.leases import LeaseSnapshot, silence
from engagement_platform.domain.shard_status import ShardStatus

OF_A_SHARD = {name: f"shard_{name}" for name in ("never_streamed", "run_has_ended", "run_is_silent")}
"""The form of the condition that nobody streams -> that of the same of a shard, while others stream."""


def conditions_of(standing: Standing) -> list[Condition]:
    """Return what is wrong with a stream, the most important first."""
    if standing.somebody_streams:
        now = standing.snapshot.now.timestamp()
        still = [one for one in standing.expected if standing.has_run(one) and is_still(standing, one, now)]
        left = [_nobody_has(standing, shard) for shard in standing.left]
        found = [*left, *standing_still(standing, still), *late(standing, still)]
    else:
        found = list(_nobody_streams(standing))
    return by_importance([*found, *paused(standing), *dead_letters(standing)])


def unreadable(stream: str, error: EngagementError, now: float) -> Condition:
    """Return the condition of a stream of which nobody can tell how it stands."""
    return Condition(
        Kind.UNREADABLE,
        Severity.CRITICAL,
        stream,
        "",
        now,
        error.what.rstrip(".") + ".",
        "How the stream stands cannot be read. Relay and tally go on without the platform's database, as far as they "
        "run; stage and rebuilds wait.",
        error.todo or f"{DOCTOR}.",
        form="unreadable",
        values={"reason": error.what},
    )


def _nobody_streams(standing: Standing) -> Iterator[Condition]:
    snapshot = standing.snapshot
    if not standing.is_kept_alive:
        return
    lease = snapshot.lease
    form, since = _last_run(snapshot)
    what = "Nothing has streamed yet." if lease is None else f"Nobody streams. The last run was {lease.run_id}."
    yield Condition(
        Kind.NOBODY_STREAMS,
        Severity.CRITICAL,
        standing.stream,
        "",
        since,
        what,
        "New events wait in the source, and what was published waits in Kafka; nothing is lost. The views in Redis "
        "stand still, and their as_of says so.",
        f"See that Dagster's daemon runs and that its sensor keep_{standing.stream}_stream_alive is on: it launches a "
        "run within seconds, and says at each tick why it does not.",
        loops=tuple(loop.name for loop in standing.expected),
        form=form,
        values={} if lease is None else {"run": lease.run_id},
    )


def _nobody_has(standing: Standing, shard: ShardStatus) -> Condition:
    """Return the condition of a shard that nobody has, while others stream."""
    lease = shard.snapshot.lease
    form, since = _last_run(shard.snapshot)
    name = f"shard {shard.index}"
    last = "It has had no run yet." if lease is None else f"Its last run was {lease.run_id}."
    relay = "its run publishes, too, so new events wait in the source. " if shard.index == 0 else ""
    part = f"_shard_{shard.index}" if shard.index else ""
    return Condition(
        Kind.NOBODY_STREAMS,
        Severity.CRITICAL,
        standing.stream,
        name,
        since,
        f"Nobody streams {name}. {last}",
        f"What was published of its partitions waits in Kafka; {relay}nothing is lost. The other shards go on. The "
        "views in Redis lack what waits, and their as_of says so.",
        f"See that Dagster's daemon runs and that its sensor keep_{standing.stream}_stream{part}_alive is on: it "
        "launches a run within seconds, and says at each tick why it does not.",
        loops=tuple(loop.name for loop in standing.expected if loop.is_divided or shard.index == 0),
        form=OF_A_SHARD[form],
        values={"shard": str(shard.index)} | ({} if lease is None else {"run": lease.run_id}),
    )


def _last_run(snapshot: LeaseSnapshot) -> tuple[str, float]:
    """Return what became of the last run, in a word, and since when nobody streams."""
    lease = snapshot.lease
    if lease is None:
        return "never_streamed", snapshot.now.timestamp()
    if lease.released_at is not None:
        return "run_has_ended", lease.released_at.timestamp()
    return "run_is_silent", (snapshot.now - silence(snapshot, lease)).timestamp()
