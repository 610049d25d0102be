"""The asset of a stream's table: a day rebuilt from the source and replaced in one step while the stream goes on."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import dagster as dg

from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.reconciliation import NAMED, Ids
from engagement_platform.domain.removal import TAG, is_allowed
from engagement_platform.domain.stream_names import aimed, own_name
from engagement_platform.history.rebuild import Rebuilt, missed_before, rebuild_days
from engagement_platform.orchestration.assets import source_keys, streamed_key
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.columns import events_described
from engagement_platform.orchestration.warehouse.days import days_definition, days_of, noted_days, row_counts
from engagement_platform.settings import Settings, about, load, variable

DAYS_IN_ONE_RUN = 7
"""Of a backfill. A run that fails is repeated as a whole, and costs some seconds to start."""

BROUGHT_BY_STREAM = "brought_by_stream"
UP_TO_DATE = "up_to_date"


def warehouse_group(stream: EventStream) -> str:
    """Return the group of the tables of a stream: those that a backfill rebuilds."""
    return own_name(stream.name, "warehouse")


def events_key(stream: EventStream) -> dg.AssetKey:
    """Return the key of the table with a stream's events."""
    return dg.AssetKey(["warehouse", stream.table])


def up_to_date_key(stream: EventStream) -> dg.AssetCheckKey:
    """Return the key of the check that the stream fills the table, which `orchestration.keeps_up` evaluates."""
    return dg.AssetCheckKey(events_key(stream), UP_TO_DATE)


def events_of(stream: EventStream) -> dg.AssetsDefinition:
    """Return the asset of the table with a stream's events."""
    days = days_definition(stream.name)

    @dg.asset(
        key=events_key(stream),
        check_specs=[
            dg.AssetCheckSpec(
                BROUGHT_BY_STREAM,
                asset=events_key(stream),
                partitions_def=days,
                description="Before the rebuild, the stream had brought every event of the day that was published "
                "since it began. Looked at first, for afterwards the day is whole, and nobody could tell what Redis "
                "and the partner never got.",
            )
        ],
        deps=[*source_keys(stream), streamed_key(stream, "stage")],
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_IN_ONE_RUN),
        code_version=stream.code_version,
        retry_policy=dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL),
        kinds={"table"},
        group_name=warehouse_group(stream),
        description=f"{stream.meaning} The stream appends within seconds; materializing a day rebuilds it from "
        "PostgreSQL, so that it equals the source, id for id.",
    )
    def events(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        """Rebuild the days of the run; say first what the stream had not brought, whatever becomes of the rebuild."""
        with explained(stream.name):
            settings = load(stream.name)
        yield from _rebuild(context, stream, settings)

    return events


def _rebuild(
    context: dg.AssetExecutionContext, stream: EventStream, settings: Settings
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    days = days_of(context)

    def say(rebuilt: Rebuilt) -> None:
        context.log.info(f"{rebuilt.day}: {rebuilt.rows} rows in {rebuilt.seconds:.1f} s")

    failure: Exception | None = None
    done: list[Rebuilt] = []
    try:
        with explained(stream.name):
            allowed = is_allowed(context.run.tags.get(TAG))
            done = rebuild_days(settings, days, context.run.run_id, say, allow_removal=allowed)
    except Exception as error:  # what was found before it must not be lost
        failure = error
    try:
        with about(stream.name):
            outcome = brought(stream, missed_before(settings, context.run.run_id, days), days)
        yield outcome
    except Unavailable:
        if failure is None:
            raise
    if failure is not None:
        raise failure
    rows, seconds = sum(day.rows for day in done), sum(day.seconds for day in done)
    yield dg.MaterializeResult(
        metadata={
            **row_counts({day.day: day.rows for day in done}),
            **events_described(stream, settings),
            "seconds": round(seconds, 2),
            "rows/s": round(rows / max(seconds, 0.001)),
        }
    )


def brought(stream: EventStream, missed: Mapping[date, Ids], days: Sequence[date] = ()) -> dg.AssetCheckResult:
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
        asset_key=events_key(stream),
        check_name=BROUGHT_BY_STREAM,
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description="\n".join(said) or "As it should be.",
        metadata={**figures, **noted_days(days, faults)},
    )


def _to_partner(day: date, ids: Ids) -> str:
    if ids.count <= NAMED:
        return aimed(f"engagement-platform backfill --to api --ids {','.join(map(str, ids.first))}")
    return aimed(f"engagement-platform backfill --to api --by event-time --since {day} --until {day}T23:59:59")
