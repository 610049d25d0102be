"""The daily tables as assets: a day is made anew from the day's events."""

from datetime import timedelta

import dagster as dg

from engagement_platform.adapters.streams import stream_named
from engagement_platform.domain.marts import DAILY_CONTENT, DAILY_DEVICE, HOURLY
from engagement_platform.domain.table import Table
from engagement_platform.history.marts import code_version, refresh_day
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.days import DAYS, days_of, row_counts
from engagement_platform.orchestration.warehouse.events import DAYS_IN_ONE_RUN, GROUP, engagement_events
from engagement_platform.settings import STREAM, load

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=1), warn_window=timedelta(minutes=20))


def mart_asset(mart: Table) -> dg.AssetsDefinition:
    """Return the asset of a mart."""

    @dg.asset(
        key=["warehouse", mart.name],
        deps=[engagement_events],
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_IN_ONE_RUN),
        code_version=code_version(stream_named(STREAM), mart),
        retry_policy=dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL),
        freshness_policy=FRESH,
        kinds={"sql", "table"},
        group_name=GROUP,
        description=mart.meaning,
        metadata={"dagster/column_schema": columns_of(mart)},
    )
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with explained():
            settings = load()
            rows = {day: refresh_day(settings, mart, day) for day in days_of(context)}
        return dg.MaterializeResult(metadata=row_counts(rows))

    return made


def columns_of(table: Table) -> dg.TableSchema:
    """Return the columns as the UI shows them."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.kind.value,
                description=column.meaning,
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in table.columns
        ]
    )


daily_content_engagement = mart_asset(DAILY_CONTENT)
daily_device_engagement = mart_asset(DAILY_DEVICE)
hourly_engagement = mart_asset(HOURLY)
