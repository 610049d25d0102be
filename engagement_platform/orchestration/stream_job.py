"""The job of a stream: one op for each loop, all of them side by side in one lease run.

Where several runs divide the topic's partitions each has a job of its own, so that Dagster shows them apart.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.shards import MOST_SHARDS
from engagement_platform.orchestration import private
from engagement_platform.orchestration.loop_op import LEASE_SECONDS, RunLoop, job_name, loop_op
from engagement_platform.settings import load, stream_executor
from engagement_platform.stream.registry import LOOPS

__all__ = [
    "PRELOADED",
    "SIDE_BY_SIDE",
    "TAGS",
    "executor",
    "job_name",
    "job_names",
    "number_of_shards",
    "stream_job_of",
]

# Highest priority in the queue, so that a backfill never keeps the stream waiting. The sensor alone replaces a run that
# has ended, so that Dagster's own retry of runs must not.
TAGS = {"dagster/priority": "10", "dagster/max_retries": "0"}

PRELOADED = (
    "alembic.command",
    "dagster_postgres",
    "psycopg.types.json",
    "rich.console",
    "rich.traceback",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "engagement_platform.definitions",
    *(loop.module for loop in LOOPS),
    "engagement_platform.adapters.kafka.preloaded",
    "engagement_platform.orchestration.freeze",
)
"""What the forkserver of a run imports once, in this order, so that each op starts within half a second.

Nothing here may open a client: every op would share its socket.
"""

# An op starts when its upstream's output is there, and does not wait for its end.
_AT_ONCE = {"step_dependency_config": {"require_upstream_step_success": False}}

SIDE_BY_SIDE = dg.multiprocess_executor.configured(
    {"max_concurrent": 8, "start_method": {"forkserver": {"preload_modules": list(PRELOADED)}}, **_AT_ONCE},
    name="side_by_side",
)

POD_LOOK_SECONDS = 2
"""How often a run looks whether the pods of its ops live: a loop must be back before its run is given up for it."""


def executor() -> dg.ExecutorDefinition:
    """Return what runs the ops of a lease run: processes of the run's own, or pods. Raises SettingsError."""
    if stream_executor() == "processes":
        return SIDE_BY_SIDE
    return private.in_pods("in_pods", _AT_ONCE, POD_LOOK_SECONDS)


def job_names(stream: str) -> frozenset[str]:
    """Return the names that jobs of a stream have, or have had, whatever the number of its shards."""
    return frozenset(job_name(stream, shard) for shard in range(MOST_SHARDS))


def number_of_shards(stream: str) -> int:
    """Return among how many runs the partitions are divided; 1 while the settings cannot be used."""
    try:
        return load(stream).lease.shards
    except EngagementError:  # sensor and runs say it
        return 1


def stream_job_of(stream: EventStream, run: Mapping[str, RunLoop] | None = None, shard: int = 0) -> dg.JobDefinition:
    """Return the job. Its config is `lease_seconds`, for all ops alike; `run` are other functions of its loops.

    The relay is in the job of the first shard alone.
    """
    functions = run or {loop.name: loop.run for loop in LOOPS}
    loops = LOOPS if shard == 0 else [loop for loop in LOOPS if loop.is_divided]
    names = [loop.name for loop in loops]
    ops = [loop_op(stream, loop, functions[loop.name], names, shard).alias(loop.name) for loop in loops]
    first, *others = ops

    def all_alike(config: Mapping[str, Any]) -> dict[str, Any]:
        return {"ops": {name: {"config": {"lease_seconds": config["lease_seconds"]}} for name in names}}

    part = f" of the partitions of shard {shard}" if shard else ""

    @dg.job(
        name=job_name(stream.name, shard),
        description=f"Streams events{part} for one lease and hands over to the next run. The sensor keeps one alive; "
        "with lease_seconds 0 it drains what is there and ends.",
        config=dg.ConfigMapping(config_fn=all_alike, config_schema={"lease_seconds": LEASE_SECONDS}),
        executor_def=executor(),
        tags=TAGS,
    )
    def job() -> None:
        published = first()
        for follow in others:
            follow(published)

    return job
