"""When days are settled, today's tables refreshed and the warehouse kept small; and which days wait for a rebuild."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from engagement_platform.adapters.platform import published
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.due_days import Due, DueDays
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.domain.days import ONE_DAY, bounds
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.unsettled_days import MAX_DAYS, unsettled
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.runs import UNFINISHED, runs_of
from engagement_platform.orchestration.warehouse.events import GROUP, engagement_events
from engagement_platform.settings import first_day, load

_ROWS_KEPT_HOURS = 24 * 30
_LATE_HOURS = 25
"""A day, and what a tick may be late."""

QUEUED = {"engagement/queue": "days"}
"""Tag of runs that may come in large numbers. `dagster.yaml` limits how many of them go on at a time."""

EVERYTHING = dg.AssetSelection.groups(GROUP)

settle_day = dg.define_asset_job(
    "settle_day",
    selection=EVERYTHING,
    description="Rebuilds a day from the source, compares it with the source and makes the tables that depend on it.",
)

refresh_marts = dg.define_asset_job(
    "refresh_marts",
    selection=(EVERYTHING - dg.AssetSelection.assets(engagement_events.key)).without_checks(),
    description="Makes the daily tables of a day anew from what the stream has brought so far.",
)


@dg.schedule(
    job=settle_day,
    cron_schedule="30 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Settles yesterday: rebuilt from the source, checked, and summed up.",
)
def settle_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the day before the tick's."""
    day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    return dg.RunRequest(run_key=day.isoformat(), partition_key=day.isoformat())


@dg.schedule(
    job=refresh_marts,
    cron_schedule="*/5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps today's tables a few minutes behind the stream.",
)
def refresh_today(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for the tick's day, unless the last such run has not ended."""
    busy = runs_of(
        context.instance,
        dg.RunsFilter(
            job_name=refresh_marts.name,
            statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
            created_after=datetime.now(UTC) - timedelta(hours=1),
        ),
        limit=1,
    )
    if busy:
        return dg.SkipReason(f"Run {busy[0].run_id} is still at it.")
    moment = context.scheduled_execution_time.astimezone(UTC)
    return dg.RunRequest(run_key=moment.isoformat(), partition_key=moment.date().isoformat())


@dg.op(description="Compacts the warehouse's tables, removes what nobody needs, and forgets old notes of loads.")
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Do the warehouse's upkeep."""
    from engagement_platform.adapters.warehouse.connect import open_warehouse  # noqa: PLC0415

    settings = load()
    ensure_schema(settings)
    figures = open_warehouse(settings).upkeep()
    with Session(settings, "upkeep") as session:
        for table in (Loads(session), Rebuilds(session), RunBeats(session)):
            table.prune(_ROWS_KEPT_HOURS)
    published.thin(settings, _ROWS_KEPT_HOURS)
    context.add_output_metadata(figures)
    context.log.info(", ".join(f"{name}: {number}" for name, number in figures.items()) or "Nothing to do.")


@dg.job(description="Keeps the warehouse fast and small.", executor_def=in_one_living_process)
def keep_warehouse_small() -> None:
    """One op."""
    tidy_up()


@dg.schedule(
    job=refresh_marts,
    cron_schedule="15 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Makes the daily tables of days before today anew for which late events came.",
)
def refresh_late_days(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for the days that loads of the last day have added to after they were settled."""
    moment = context.scheduled_execution_time.astimezone(UTC)
    try:
        settings = load()
        ensure_schema(settings)
        with Loads.opened(settings, "late") as loads:
            days = loads.days_loaded(_LATE_HOURS, before=moment.date())
    except EngagementError as error:
        return dg.SkipReason(str(error))
    partitions = [day for day in days if is_known(day, moment.date())]
    return [
        dg.RunRequest(run_key=f"{day} late, {moment.date()}", partition_key=day.isoformat(), tags=QUEUED)
        for day in partitions
    ] or dg.SkipReason("No late events came.")


keep_warehouse_small_hourly = dg.ScheduleDefinition(
    name="keep_warehouse_small_hourly",
    job=keep_warehouse_small,
    cron_schedule="47 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="A load every few seconds makes thousands of small files a day.",
)


@dg.sensor(
    job=settle_day,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Rebuilds the days whose messages expired in Kafka before they were loaded, and settles the days that "
    "the nightly schedule has missed.",
)
def rebuild_days_that_are_due(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for each day that is due: at once, and each hour until it is done."""
    now = datetime.now(UTC)
    try:
        settings = load()
        ensure_schema(settings)
        with Loads.opened(settings, "due") as loads:
            due = {due_day.day: due_day for due_day in (*_not_settled(loads, now), *DueDays(loads.session).all())}
    except EngagementError as error:
        return dg.SkipReason(str(error))
    busy = days_at_work(context.instance)
    chosen = [due[day] for day in sorted(due) if is_known(day, now.date()) and day.isoformat() not in busy]
    return [request(due_day, now) for due_day in chosen] or dg.SkipReason("No day is due.")


def _not_settled(loads: Loads, now: datetime) -> list[Due]:
    settled = Rebuilds(loads.session).days_settled(now.date() - (MAX_DAYS + 2) * ONE_DAY)
    days = unsettled(settled, loads.first_load_at(), now, first_day())
    return [Due(day, "not settled since it ended", bounds(day)[1]) for day in days]


def days_at_work(instance: dg.DagsterInstance) -> set[str]:
    """Return the days that unfinished runs of settle_day are for: they are not asked for a second time."""
    unfinished = dg.RunsFilter(job_name=settle_day.name, statuses=list(UNFINISHED))
    return {run.tags.get("dagster/partition", "") for run in runs_of(instance, unfinished)}


def is_known(day: date, today: date) -> bool:
    """Say whether Dagster has a partition for the day."""
    return first_day() <= day <= today


def request(due: Due, now: datetime) -> dg.RunRequest:
    """Return the run that rebuilds a day that is due. One that fails is followed by another in the next hour."""
    return dg.RunRequest(
        run_key=f"{due.day} due since {due.since.isoformat()}, {now:%Y-%m-%d %H}h",
        partition_key=due.day.isoformat(),
        tags={**QUEUED, "engagement/reason": due.reason},
    )
