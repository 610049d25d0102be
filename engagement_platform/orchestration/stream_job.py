"""The job `engagement_stream`: one op for each loop, all of them side by side in one lease run."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from engagement_platform.domain import loops
from engagement_platform.orchestration.assets import partner_api, redis_views, staged_batches, topic_events
from engagement_platform.orchestration.loop_op import LEASE_SECONDS, RunLoop, loop_op
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally

NAME = "engagement_stream"
LOOPS = loops.LOOPS

# Highest priority in the queue, so that a backfill never keeps the stream waiting. The sensor alone replaces a run that
# has ended, so that Dagster's own retry of runs must not.
TAGS = {"dagster/priority": "10", "dagster/max_retries": "0"}

_NOT_MILLISECONDS = 10
"""The niceness of loops whose readers wait for seconds: where a burst takes all processors, Redis goes first."""

PRELOADED = (
    "alembic.command",
    "dagster_postgres",
    "psycopg.types.json",
    "rich.console",
    "rich.traceback",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "engagement_platform.definitions",
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


def stream_job(run_relay: RunLoop, run_tally: RunLoop, run_stage: RunLoop, run_forward: RunLoop) -> dg.JobDefinition:
    """Return the job with the loops given. Its config is `lease_seconds`, for all ops alike."""
    relay_op = loop_op(
        "relay",
        run_relay,
        topic_events.key,
        loops=LOOPS,
        follows=False,
        description="PostgreSQL to Kafka: every committed event exactly once, with the checkpoint in the transaction.",
    )
    tally_op = loop_op(
        "tally",
        run_tally,
        redis_views.key,
        loops=LOOPS,
        follows=True,
        description="Kafka to Redis: engagement of the last ten minutes, each event counted exactly once.",
    )

    stage_op = loop_op(
        "stage",
        run_stage,
        staged_batches.key,
        loops=LOOPS,
        follows=True,
        description="Kafka to the warehouse: checked batches of NDJSON, every event in the table exactly once.",
        niceness=_NOT_MILLISECONDS,
    )

    forward_op = loop_op(
        "forward",
        run_forward,
        partner_api.key,
        loops=LOOPS,
        follows=True,
        description="Kafka to the partner's HTTP API: every event at least once, in order for each content, or kept as "
        "a dead letter.",
        niceness=_NOT_MILLISECONDS,
    )

    def all_alike(config: Mapping[str, Any]) -> dict[str, Any]:
        return {"ops": {name: {"config": {"lease_seconds": config["lease_seconds"]}} for name in LOOPS}}

    @dg.job(
        name=NAME,
        description="Streams events for one lease and hands over to the next run. The sensor keeps one alive; "
        "with lease_seconds 0 it drains what is there and ends.",
        config=dg.ConfigMapping(config_fn=all_alike, config_schema={"lease_seconds": LEASE_SECONDS}),
        executor_def=SIDE_BY_SIDE,
        tags=TAGS,
    )
    def job() -> None:
        published = relay_op()
        tally_op(published)
        stage_op(published)
        forward_op(published)

    return job


engagement_stream = stream_job(relay.run, tally.run, stage.run, forward.run)
