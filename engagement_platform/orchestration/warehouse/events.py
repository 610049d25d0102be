"""The asset `engagement_events`: a day rebuilt from the source and replaced in one step while the stream goes on."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import dagster as dg

from engagement_platform.adapters.streams import stream_named
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.reconciliation import NAMED, Ids
from engagement_platform.domain.removal import TAG, is_allowed
from engagement_platform.history.rebuild import Rebuilt, missed_before, rebuild_days
from engagement_platform.orchestration.assets import source_content, source_events, staged_batches
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.days import DAYS, days_of, row_counts
from engagement_platform.settings import STREAM, load, variable

GROUP = "warehouse"

DAYS_IN_ONE_RUN = 7
"""Of a backfill. A run that fails is repeated as a whole, and costs some seconds to start."""

SETTLED = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))
"""Yesterday is settled each night."""


KEY = dg.AssetKey(["warehouse", "engagement_events"])

BROUGHT_BY_STREAM = "brought_by_stream"


@dg.asset(
    key=KEY,
    check_specs=[
        dg.AssetCheckSpec(
            BROUGHT_BY_STREAM,
            asset=KEY,
            partitions_def=DAYS,
            description="Before the rebuild, the stream had brought every event of the day that was published since it "
            "began. Looked at first, for afterwards the day is whole, and nobody could tell what Redis and the partner "
            "never got.",
        )
    ],
    deps=[source_events, source_content, staged_batches],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_IN_ONE_RUN),
    code_version=stream_named(STREAM).code_version,
    retry_policy=dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL),
    freshness_policy=SETTLED,
    kinds={"table"},
    group_name=GROUP,
    description="Every event with the columns of its content. The stream appends within seconds; materializing a day "
    "rebuilds it from PostgreSQL, so that it equals the source, id for id.",
)
def engagement_events(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Rebuild the days of the run; say first what the stream had not brought, whatever becomes of the rebuild."""
    settings, days = load(), days_of(context)

    def say(rebuilt: Rebuilt) -> None:
        context.log.info(f"{rebuilt.day}: {rebuilt.rows} rows in {rebuilt.seconds:.1f} s")

    failure: Exception | None = None
    done: list[Rebuilt] = []
    try:
        with explained():
            allowed = is_allowed(context.run.tags.get(TAG))
            done = rebuild_days(settings, days, context.run.run_id, say, allow_removal=allowed)
    except Exception as error:  # what was found before it must not be lost
        failure = error
    try:
        yield brought(missed_before(settings, context.run.run_id, days))
    except Unavailable:
        if failure is None:
            raise
    if failure is not None:
        raise failure
    rows, seconds = sum(day.rows for day in done), sum(day.seconds for day in done)
    yield dg.MaterializeResult(
        metadata={
            **row_counts({day.day: day.rows for day in done}),
            "seconds": round(seconds, 2),
            "rows/s": round(rows / max(seconds, 0.001)),
        }
    )


def brought(missed: Mapping[date, Ids]) -> dg.AssetCheckResult:
    """Return the outcome of `brought_by_stream`: the ids of each day, and how they get into each sink."""
    faults = {day: ids for day, ids in missed.items() if ids.count}
    said = [f"{day}: {ids.count} events that the stream had not brought: {ids}" for day, ids in faults.items()]
    figures: dict[str, int | str] = {"events not brought": sum(ids.count for ids in faults.values())}
    if faults:
        figures |= {
            "warehouse": "The rebuild of the day, which this run is, brings them.",
            "partner": "; ".join(_to_partner(day, ids) for day, ids in faults.items()),
            "Redis": f"Counts only what comes by Kafka: for {variable('window_seconds')} after they happened "
            "these events are missing there.",
        }
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=BROUGHT_BY_STREAM,
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description="\n".join(said) or "As it should be.",
        metadata=figures,
    )


def _to_partner(day: date, ids: Ids) -> str:
    if ids.count <= NAMED:
        return f"engagement-platform backfill --to api --ids {','.join(map(str, ids.first))}"
    return f"engagement-platform backfill --to api --by event-time --since {day} --until {day}T23:59:59"
