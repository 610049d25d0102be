"""All that Dagster has of one stream: its assets, checks, jobs, sensors and schedules. Lists, no logic of their own."""

from collections.abc import Mapping

import dagster as dg

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.assets import streamed_of
from engagement_platform.orchestration.dead_letters import (
    count_dead_letters_hourly_of,
    count_dead_letters_of,
    dead_letters_by_day_of,
    dead_letters_key,
    redrive_dead_letters_of,
)
from engagement_platform.orchestration.sensors import keep_stream_alive_of
from engagement_platform.orchestration.stream_job import stream_job_of
from engagement_platform.orchestration.warehouse.checks import days_known_of, reconciliation_of, values_known_of
from engagement_platform.orchestration.warehouse.days import days_definition
from engagement_platform.orchestration.warehouse.events import events_key, events_of
from engagement_platform.orchestration.warehouse.marts import mart_key, marts_of
from engagement_platform.orchestration.warehouse.schedules import (
    rebuild_days_that_are_due_of,
    refresh_late_days_of,
    refresh_marts_of,
    refresh_today_of,
    settle_day_of,
    settle_yesterday_of,
)
from engagement_platform.orchestration.warehouse.staged import report_staged_days_of


def definitions_of(stream: EventStream) -> dg.Definitions:
    """Return what Dagster has of a stream alone; the tables of the source may be shared."""
    return dg.Definitions(
        assets=[*streamed_of(stream), dead_letters_by_day_of(stream), events_of(stream), *marts_of(stream)],
        asset_checks=[reconciliation_of(stream), days_known_of(stream), *values_known_of(stream)],
        jobs=[
            stream_job_of(stream),
            count_dead_letters_of(stream),
            redrive_dead_letters_of(stream),
            settle_day_of(stream),
            *([refresh_marts_of(stream)] if stream.marts else []),
        ],
        sensors=[
            keep_stream_alive_of(stream),
            rebuild_days_that_are_due_of(stream),
            report_staged_days_of(stream),
        ],
        schedules=[
            count_dead_letters_hourly_of(stream),
            settle_yesterday_of(stream),
            *([refresh_late_days_of(stream), refresh_today_of(stream)] if stream.marts else []),
        ],
    )


def told_apart(
    streams: Mapping[str, EventStream | SettingsError],
) -> tuple[list[EventStream], dict[str, SettingsError]]:
    """Return the streams that can be used, and the error of each that cannot be: also where two would share a table."""
    usable: list[EventStream] = []
    broken: dict[str, SettingsError] = {}
    owners: dict[dg.AssetKey, str] = {}
    for name, stream in streams.items():
        error = stream if isinstance(stream, SettingsError) else _fault(stream, owners)
        if error is not None:
            broken[name] = error
        elif isinstance(stream, EventStream):
            usable.append(stream)
            owners |= dict.fromkeys(_keys(stream), name)
    return usable, broken


def _fault(stream: EventStream, owners: Mapping[dg.AssetKey, str]) -> SettingsError | None:
    """Return why Dagster could not load a stream beside those whose assets are `owners`."""
    try:
        days_definition(stream.name)
    except SettingsError as error:
        return error
    keys = _keys(stream)
    taken = {key: owners[key] for key in keys if key in owners}
    if not taken and len(set(keys)) == len(keys):
        return None
    key = next(iter(taken), None) or next(key for key in keys if keys.count(key) > 1)
    return SettingsError(
        f"The stream {stream.name} cannot be used: {key.to_user_string()} is {owners.get(key, stream.name)}'s already.",
        "Give its tables other names in its stream.toml, under [warehouse] and [marts].",
    )


def _keys(stream: EventStream) -> list[dg.AssetKey]:
    return [
        *(spec.key for spec in streamed_of(stream)),
        dead_letters_key(stream),
        events_key(stream),
        *(mart_key(name) for name in stream.marts),
    ]
