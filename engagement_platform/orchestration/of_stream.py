"""All that Dagster has of one stream: its assets, checks, jobs, sensors and schedules, and whether it can load them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams, told apart by whether Dagster can load them."""

    usable: Sequence[EventStream]
    definitions: Sequence[dg.Definitions]
    """Of each usable stream."""
    broken: Mapping[str, SettingsError]
    """Name of a stream -> why it cannot be used."""


def told_apart(streams: Mapping[str, EventStream | SettingsError]) -> Streams:
    """Tell the streams apart.

    One that would give something the name of what an earlier one has is broken, and so is one that Dagster refuses.
    """
    usable: list[EventStream] = []
    definitions: list[dg.Definitions] = []
    broken: dict[str, SettingsError] = {}
    owners: dict[str, str] = {}
    for name, stream in streams.items():
        try:
            if isinstance(stream, SettingsError):
                raise stream
            _named_once(stream, [_asset(key) for key in _keys(stream)], owners)
            of_stream = definitions_of(stream)
            names = _named_once(stream, list(_names(of_stream)), owners)
        except Exception as error:  # Dagster's checks raise errors of many kinds
            broken[name] = error if isinstance(error, SettingsError) else refused(name, error)
            continue
        usable.append(stream)
        definitions.append(of_stream)
        owners |= dict.fromkeys(names, name)
    return Streams(usable, definitions, broken)


def refused(stream: str, error: Exception) -> SettingsError:
    """Return what is said of a stream that Dagster refuses."""
    return SettingsError(
        f"The stream {stream} cannot be used, for Dagster refuses it: {error}",
        "Give what it names another name, in its stream.toml or of its file in marts/.",
    )


def _named_once(stream: EventStream, names: Sequence[str], owners: Mapping[str, str]) -> Sequence[str]:
    """Return the names of a stream's definitions. Raises SettingsError for one that another definition has."""
    twice = next((name for number, name in enumerate(names) if name in owners or name in names[:number]), None)
    if twice is None:
        return names
    raise SettingsError(
        f"The stream {stream.name} cannot be used: {twice} is {owners.get(twice, stream.name)}'s already.",
        "Give it another name: the table of the events in its stream.toml, under [warehouse]; a mart by that of its "
        "file in marts/; a check under [checks].",
    )


def _keys(stream: EventStream) -> list[dg.AssetKey]:
    """Return the keys of a stream's assets, of which a definition may be refused where two are the same."""
    return [
        *(spec.key for spec in streamed_of(stream)),
        dead_letters_key(stream),
        events_key(stream),
        *map(mart_key, stream.marts),
    ]


def _asset(key: dg.AssetKey) -> str:
    return f"the asset {key.to_user_string()}"


def _names(definitions: dg.Definitions) -> Iterator[str]:
    """Yield what Dagster knows by a name that nothing else of its kind may have."""
    for asset in [*(definitions.assets or ()), *(definitions.asset_checks or ())]:
        if isinstance(asset, dg.AssetSpec):
            yield _asset(asset.key)
        elif isinstance(asset, dg.AssetsDefinition):
            yield from map(_asset, asset.keys)
            yield from (f"the check {key.name} of {key.asset_key.to_user_string()}" for key in asset.check_keys)
            yield f"the op {asset.op.name}"
    for job in definitions.jobs or ():
        yield f"the job {job.name}"
        if isinstance(job, dg.JobDefinition):
            yield from (f"the op {op.name}" for op in job.all_node_defs if isinstance(op, dg.OpDefinition))
    yield from (f"the sensor {sensor.name}" for sensor in definitions.sensors or ())
    yield from (f"the schedule {schedule.name}" for schedule in definitions.schedules or ())
