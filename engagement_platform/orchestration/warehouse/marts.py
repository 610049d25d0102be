"""The tables that are made from a stream's events, as assets: a day is made anew from the day's events."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.marts import Mart
from engagement_platform.domain.stream_names import own_name
from engagement_platform.history.marts import refresh_day
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.columns import columns_of, mart_described
from engagement_platform.orchestration.warehouse.days import days_definition, days_of, row_counts
from engagement_platform.orchestration.warehouse.events import DAYS_IN_ONE_RUN, events_key, warehouse_group
from engagement_platform.settings import load

REFRESH_MARTS = "refresh_marts"
"""The job that makes the marts of a day, but for the stream's name in front."""

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=1), warn_window=timedelta(minutes=20))


def marts_of(stream: EventStream) -> list[dg.AssetsDefinition]:
    """Return the assets of a stream's marts, each downstream of the events and of the marts that it reads."""
    return [_mart(stream, mart) for mart in stream.marts.values()]


def mart_key(name: str) -> dg.AssetKey:
    """Return the key of a mart."""
    return dg.AssetKey(["warehouse", name])


def _mart(stream: EventStream, mart: Mart) -> dg.AssetsDefinition:
    @dg.asset(
        key=mart_key(mart.name),
        deps=[events_key(stream), *map(mart_key, mart.reads)],
        partitions_def=days_definition(stream.name),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_IN_ONE_RUN),
        code_version=mart.code_version,
        retry_policy=dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL),
        freshness_policy=FRESH,
        kinds={"sql", "table"},
        group_name=warehouse_group(stream),
        description=mart.meaning or f"A table that marts/{mart.name}.sql makes of the day's events.",
        metadata={} if mart.stated is None else {"dagster/column_schema": columns_of(mart.stated)},
    )
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with explained(stream.name):
            settings = load(stream.name)
            rows = {day: refresh_day(settings, mart, day) for day in days_of(context)}
            is_refresh = context.run.job_name == own_name(stream.name, REFRESH_MARTS)
            columns = {} if is_refresh else mart_described(stream, mart, settings, _tables(stream))
        return dg.MaterializeResult(metadata={**row_counts(rows), **columns})

    return made


def _tables(stream: EventStream) -> Mapping[str, dg.AssetKey]:
    return {stream.table: events_key(stream), **{name: mart_key(name) for name in stream.marts}}
