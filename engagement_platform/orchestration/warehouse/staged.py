"""The sensor that tells Dagster which days of its table a stream has filled.

The stage knows no Dagster day; it loads batches. So a sensor reads which days the loads brought rows to, and reports
them without a run: the runs of the stream are deleted after a while, and what they have logged with them.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import msgspec

from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.stream_names import own_name
from engagement_platform.orchestration.private import latest_tags
from engagement_platform.orchestration.warehouse.days import is_known
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.orchestration.warehouse.formulas import tags_to_carry
from engagement_platform.settings import about, load

EVERY = timedelta(hours=1)
"""How often a day is reported that gets rows all the time. Dagster keeps each report, and none can be deleted."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Told(msgspec.Struct, frozen=True):
    """What the sensor remembers: up to when it has read, what it has reported when, and loads not yet reported."""

    until: datetime = _LONG_AGO
    reported: dict[date, datetime] = {}
    waiting: dict[date, int] = {}


def due(told: Told, now: datetime, brought: Mapping[date, int]) -> tuple[dict[date, int], Told]:
    """Return the days to report now with the number of their loads, and what is to be remembered."""
    loads = {day: told.waiting.get(day, 0) + brought.get(day, 0) for day in {*told.waiting, *brought}}
    recent = {day: at for day, at in told.reported.items() if now - at < EVERY}
    chosen = {day: loads[day] for day in sorted(loads) if day not in recent}
    waiting = {day: number for day, number in loads.items() if day in recent}
    return chosen, Told(now, recent | dict.fromkeys(chosen, now), waiting)


def report_staged_days_of(stream: EventStream) -> dg.SensorDefinition:
    """Return the sensor of a stream."""

    @dg.sensor(
        name=own_name(stream.name, "report_staged_days"),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports the days to which the stream has brought events as materialized.",
    )
    def report_staged_days(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        with about(stream.name):
            return _tick(context, stream)

    return report_staged_days


def _tick(context: dg.SensorEvaluationContext, stream: EventStream) -> dg.SkipReason:
    """Report each day soon after its first load, then every hour while loads come."""
    told = remembered(context.cursor)
    try:
        settings = load(stream.name)
        ensure_schema(settings)
        with Loads.opened(settings, "staged-days") as loads:
            until, brought = loads.brought(told.until)
    except EngagementError as error:
        return dg.SkipReason(str(error))
    partitions = {day: number for day, number in brought.items() if is_known(stream.name, day, until.date())}
    chosen, after = due(told, until, partitions)
    key = events_key(stream)
    before = latest_tags(context.instance, key, [day.isoformat() for day in chosen]) if chosen else {}
    for day, number in chosen.items():
        figures: dict[str, int | str] = {"filled by": "the stream", "loads": number}
        tags = tags_to_carry(before.get(day.isoformat(), {}), stream.code_version)
        context.instance.report_runless_asset_event(
            dg.AssetMaterialization(key, partition=day.isoformat(), metadata=figures, tags=tags)
        )
    context.update_cursor(msgspec.json.encode(after).decode())
    return dg.SkipReason(f"Reported: {', '.join(map(str, chosen)) or 'nothing new'}.")


def remembered(cursor: str | None) -> Told:
    """Return what a cursor holds; nothing for one that cannot be read."""
    try:
        return msgspec.json.decode(cursor or "{}", type=Told)
    except msgspec.DecodeError:
        return Told()
