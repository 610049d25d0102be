"""Keeps the warehouses of all streams fast and small. Streams in one warehouse are tended together."""

import dagster as dg

from engagement_platform.adapters.platform import published
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.orchestration.failures import for_each_stream
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.settings import Settings

_ROWS_KEPT_HOURS = 24 * 30


@dg.op(description="Compacts the warehouse's tables, removes what nobody needs, and forgets old notes of loads.")
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Do the warehouse's upkeep."""
    from engagement_platform.adapters.warehouse.connect import open_warehouse  # noqa: PLC0415

    figures: dict[str, int] = {}
    tended: set[str] = set()

    def tidy(settings: Settings) -> None:
        ensure_schema(settings)
        if settings.effective_warehouse_uri not in tended:
            figures.update(open_warehouse(settings).upkeep())
            tended.add(settings.effective_warehouse_uri)
        with Session(settings, "upkeep") as session:
            for table in (Loads(session), Rebuilds(session), RunBeats(session)):
                table.prune(_ROWS_KEPT_HOURS)
        published.thin(settings, _ROWS_KEPT_HOURS)

    for_each_stream(tidy)
    context.add_output_metadata(figures)
    context.log.info(", ".join(f"{name}: {number}" for name, number in figures.items()) or "Nothing to do.")


@dg.job(description="Keeps the warehouse fast and small.", executor_def=in_one_living_process)
def keep_warehouse_small() -> None:
    """One op."""
    tidy_up()


keep_warehouse_small_hourly = dg.ScheduleDefinition(
    name="keep_warehouse_small_hourly",
    job=keep_warehouse_small,
    cron_schedule="47 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="A load every few seconds makes thousands of small files a day.",
)
