"""When a stream's days are settled and its tables of today refreshed; and which days wait for a rebuild."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Due, DueDays, Rebuilds
from engagement_platform.domain.days import MAX_DAYS, ONE_DAY, bounds, unsettled
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.stream_names import own_name, turn
from engagement_platform.orchestration.private import AssetJob
from engagement_platform.orchestration.runs import UNFINISHED, runs_of
from engagement_platform.orchestration.warehouse.days import is_known
from engagement_platform.orchestration.warehouse.events import events_key, up_to_date_key, warehouse_group
from engagement_platform.orchestration.warehouse.marts import REFRESH_MARTS
from engagement_platform.settings import about, first_day, load

_LATE_HOURS = 25
"""A day, and what a tick may be late."""

SETTLE_DAY = "settle_day"
"""The job that settles a day, but for the stream's name in front."""

QUEUE = "engagement/queue"
"""Tag of runs that may come in large numbers. `dagster.yaml` limits how many of them go on at a time, by its value."""


def queued(stream: str) -> dict[str, str]:
    """Return the tag with the queue of a stream: its runs keep no run of another one waiting."""
    return {QUEUE: own_name(stream, "days")}


def settle_day_of(stream: EventStream) -> AssetJob:
    """Return the job that settles a day."""
    return dg.define_asset_job(
        own_name(stream.name, SETTLE_DAY),
        selection=dg.AssetSelection.groups(warehouse_group(stream)) - dg.AssetSelection.checks(up_to_date_key(stream)),
        description="Rebuilds a day from the source, compares it with the source and makes the tables that depend on "
        "it.",
    )


def refresh_marts_of(stream: EventStream) -> AssetJob:
    """Return the job that makes the marts of a day."""
    everything = dg.AssetSelection.groups(warehouse_group(stream))
    return dg.define_asset_job(
        own_name(stream.name, REFRESH_MARTS),
        selection=(everything - dg.AssetSelection.assets(events_key(stream))).without_checks(),
        description="Makes the daily tables of a day anew from what the stream has brought so far.",
    )


def settle_yesterday_of(stream: EventStream) -> dg.ScheduleDefinition:
    """Return the schedule that settles each day once it is over."""

    @dg.schedule(
        name=own_name(stream.name, "settle_yesterday"),
        job_name=own_name(stream.name, SETTLE_DAY),
        cron_schedule=f"{30 + turn(stream.name, 30)} 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Settles yesterday: rebuilt from the source, checked, and summed up.",
    )
    def settle_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Ask for the day before the tick's."""
        day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
        return dg.RunRequest(run_key=day.isoformat(), partition_key=day.isoformat())

    return settle_yesterday


def refresh_today_of(stream: EventStream) -> dg.ScheduleDefinition:
    """Return the schedule that keeps today's marts up to date."""
    first = turn(stream.name, 5)

    @dg.schedule(
        name=own_name(stream.name, "refresh_today"),
        job_name=own_name(stream.name, REFRESH_MARTS),
        cron_schedule=f"{first}-59/5 * * * *" if first else "*/5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Keeps today's tables a few minutes behind the stream.",
    )
    def refresh_today(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Ask for the tick's day, unless the last such run has not ended."""
        busy = runs_of(
            context.instance,
            dg.RunsFilter(
                job_name=own_name(stream.name, REFRESH_MARTS),
                statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
                created_after=datetime.now(UTC) - timedelta(hours=1),
            ),
            limit=1,
        )
        if busy:
            return dg.SkipReason(f"Run {busy[0].run_id} is still at it.")
        moment = context.scheduled_execution_time.astimezone(UTC)
        return dg.RunRequest(run_key=moment.isoformat(), partition_key=moment.date().isoformat())

    return refresh_today


def refresh_late_days_of(stream: EventStream) -> dg.ScheduleDefinition:
    """Return the schedule that sums days up again to which late events came."""

    @dg.schedule(
        name=own_name(stream.name, "refresh_late_days"),
        job_name=own_name(stream.name, REFRESH_MARTS),
        cron_schedule=f"{15 + turn(stream.name, 45)} 1 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Makes the daily tables of days before today anew for which late events came.",
    )
    def refresh_late_days(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        """Ask for the days that loads of the last day have added to after they were settled."""
        moment = context.scheduled_execution_time.astimezone(UTC)
        try:
            with about(stream.name):
                settings = load(stream.name)
                ensure_schema(settings)
                with Loads.opened(settings, "late") as loads:
                    days = loads.days_loaded(_LATE_HOURS, before=moment.date())
        except EngagementError as error:
            return dg.SkipReason(str(error))
        partitions = [day for day in days if is_known(stream.name, day, moment.date())]
        return [
            dg.RunRequest(
                run_key=f"{day} late, {moment.date()}", partition_key=day.isoformat(), tags=queued(stream.name)
            )
            for day in partitions
        ] or dg.SkipReason("No late events came.")

    return refresh_late_days


def rebuild_days_that_are_due_of(stream: EventStream) -> dg.SensorDefinition:
    """Return the sensor that asks for a rebuild of days that are due."""

    @dg.sensor(
        name=own_name(stream.name, "rebuild_days_that_are_due"),
        job_name=own_name(stream.name, SETTLE_DAY),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Rebuilds the days whose messages expired in Kafka before they were loaded, and settles the days "
        "that the nightly schedule has missed.",
    )
    def rebuild_days_that_are_due(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        """Ask for each day that is due: at once, and each hour until it is done."""
        now = datetime.now(UTC)
        try:
            with about(stream.name):
                settings = load(stream.name)
                ensure_schema(settings)
                with Loads.opened(settings, "due") as loads:
                    missed = _not_settled(stream.name, loads, now)
                    due = {due_day.day: due_day for due_day in (*missed, *DueDays(loads.session).all())}
        except EngagementError as error:
            return dg.SkipReason(str(error))
        busy = days_at_work(context.instance, own_name(stream.name, SETTLE_DAY))
        chosen = [
            due[day] for day in sorted(due) if is_known(stream.name, day, now.date()) and day.isoformat() not in busy
        ]
        return [request(stream.name, due_day, now) for due_day in chosen] or dg.SkipReason("No day is due.")

    return rebuild_days_that_are_due


def _not_settled(stream: str, loads: Loads, now: datetime) -> list[Due]:
    settled = Rebuilds(loads.session).days_settled(now.date() - (MAX_DAYS + 2) * ONE_DAY)
    days = unsettled(settled, loads.first_load_at(), now, first_day(stream))
    return [Due(day, "not settled since it ended", bounds(day)[1]) for day in days]


def days_at_work(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Return the days that unfinished runs of a job are for: they are not asked for a second time."""
    unfinished = dg.RunsFilter(job_name=job, statuses=list(UNFINISHED))
    return {run.tags.get("dagster/partition", "") for run in runs_of(instance, unfinished)}


def request(stream: str, due: Due, now: datetime) -> dg.RunRequest:
    """Return the run that rebuilds a day that is due. One that fails is followed by another in the next hour."""
    return dg.RunRequest(
        run_key=f"{due.day} due since {due.since.isoformat()}, {now:%Y-%m-%d %H}h",
        partition_key=due.day.isoformat(),
        tags={**queued(stream), "engagement/reason": due.reason},
    )
