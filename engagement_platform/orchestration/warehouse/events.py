"""The asset `engagement_events`: a day rebuilt from the source and replaced in one step while the stream goes on."""

import hashlib
from datetime import timedelta

import dagster as dg

from engagement_platform.adapters.source.reader import ENRICHED
from engagement_platform.history.rebuild import Rebuilt, rebuild_days
from engagement_platform.orchestration.assets import source_content, source_events, staged_batches
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.days import DAYS, days_of, row_counts
from engagement_platform.settings import load

GROUP = "warehouse"

DAYS_IN_ONE_RUN = 7
"""Of a backfill. A run that fails is repeated as a whole, and costs some seconds to start."""

SETTLED = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))
"""Yesterday is settled each night."""


@dg.asset(
    key=["warehouse", "engagement_events"],
    deps=[source_events, source_content, staged_batches],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_IN_ONE_RUN),
    code_version=hashlib.sha256(ENRICHED.encode()).hexdigest()[:12],
    retry_policy=dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL),
    freshness_policy=SETTLED,
    kinds={"table"},
    group_name=GROUP,
    description="Every event with the columns of its content. The stream appends within seconds; materializing a day "
    "rebuilds it from PostgreSQL, so that it equals the source, id for id.",
)
def engagement_events(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Rebuild the days of the run."""

    def say(rebuilt: Rebuilt) -> None:
        context.log.info(f"{rebuilt.day}: {rebuilt.rows} rows in {rebuilt.seconds:.1f} s")

    with explained():
        done = rebuild_days(load(), days_of(context), context.run.run_id, say)
    rows, seconds = sum(day.rows for day in done), sum(day.seconds for day in done)
    return dg.MaterializeResult(
        metadata={
            **row_counts({day.day: day.rows for day in done}),
            "seconds": round(seconds, 2),
            "rows/s": round(rows / max(seconds, 0.001)),
        }
    )
