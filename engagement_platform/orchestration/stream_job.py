"""The job of a stream: one op for each loop, all of them side by side in one lease run."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.loop_op import LEASE_SECONDS, RunLoop, loop_op
from engagement_platform.stream.registry import LOOPS, NAMES

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

SIDE_BY_SIDE = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 8,
        "start_method": {"forkserver": {"preload_modules": list(PRELOADED)}},
        # An op starts when its upstream's output is there, and does not wait for its end.
        "step_dependency_config": {"require_upstream_step_success": False},
    },
    name="side_by_side",
)


def job_name(stream: str) -> str:
    """Return the name of the job of a stream."""
    return f"{stream}_stream"


def stream_job_of(stream: EventStream, run: Mapping[str, RunLoop] | None = None) -> dg.JobDefinition:
    """Return the job. Its config is `lease_seconds`, for all ops alike; `run` are other functions of its loops."""
    functions = run or {loop.name: loop.run for loop in LOOPS}
    ops = [loop_op(stream, loop, functions[loop.name], NAMES).alias(loop.name) for loop in LOOPS]
    first, *others = ops

    def all_alike(config: Mapping[str, Any]) -> dict[str, Any]:
        return {"ops": {name: {"config": {"lease_seconds": config["lease_seconds"]}} for name in NAMES}}

    @dg.job(
        name=job_name(stream.name),
        description="Streams events for one lease and hands over to the next run. The sensor keeps one alive; "
        "with lease_seconds 0 it drains what is there and ends.",
        config=dg.ConfigMapping(config_fn=all_alike, config_schema={"lease_seconds": LEASE_SECONDS}),
        executor_def=SIDE_BY_SIDE,
        tags=TAGS,
    )
    def job() -> None:
        published = first()
        for follow in others:
            follow(published)

    return job
