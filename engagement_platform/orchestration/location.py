"""Puts together what Dagster loads: what all streams share, and what each has. A broken stream stops itself alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import dagster as dg

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration import dead_letters
from engagement_platform.orchestration.assets import streamed_of
from engagement_platform.orchestration.catalog import catalogued
from engagement_platform.orchestration.evidence import (
    delivery_evidence_of,
    evidence_key,
    prove_delivery_hourly_of,
    prove_delivery_of,
)
from engagement_platform.orchestration.keeps_up import judge_loops_of, loops_keep_up_of
from engagement_platform.orchestration.loop_op import LEASE_SECONDS
from engagement_platform.orchestration.sensors import keep_stream_alive_of, sensor_name
from engagement_platform.orchestration.stream_job import TAGS, job_name, number_of_shards, stream_job_of
from engagement_platform.orchestration.warehouse import schedules
from engagement_platform.orchestration.warehouse.checks import days_known_of, reconciliation_of, values_known_of
from engagement_platform.orchestration.warehouse.events import events_key, events_of
from engagement_platform.orchestration.warehouse.marts import mart_key, marts_of
from engagement_platform.orchestration.warehouse.staged import report_staged_days_of


def definitions_of(stream: EventStream) -> dg.Definitions:
    """Return what Dagster has of a stream alone; the tables of the source may be shared."""
    shards = range(number_of_shards(stream.name))
    return dg.Definitions(
        assets=catalogued(
            stream,
            [
                *streamed_of(stream),
                dead_letters.dead_letters_by_day_of(stream),
                delivery_evidence_of(stream),
                events_of(stream),
                *marts_of(stream),
            ],
        ),
        asset_checks=[
            reconciliation_of(stream),
            days_known_of(stream),
            *values_known_of(stream),
            loops_keep_up_of(stream),
        ],
        jobs=[
            *(stream_job_of(stream, shard=shard) for shard in shards),
            dead_letters.count_dead_letters_of(stream),
            dead_letters.redrive_dead_letters_of(stream),
            prove_delivery_of(stream),
            schedules.settle_day_of(stream),
            *([schedules.refresh_marts_of(stream)] if stream.marts else []),
        ],
        sensors=[
            *(keep_stream_alive_of(stream, shard) for shard in shards),
            schedules.rebuild_days_that_are_due_of(stream),
            report_staged_days_of(stream),
            judge_loops_of(stream),
        ],
        schedules=[
            dead_letters.count_dead_letters_hourly_of(stream),
            prove_delivery_hourly_of(stream),
            schedules.settle_yesterday_of(stream),
            *([schedules.refresh_late_days_of(stream), schedules.refresh_today_of(stream)] if stream.marts else []),
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
        dead_letters.dead_letters_key(stream),
        evidence_key(stream),
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


_RELOAD = "Then reload the code location: in Dagster, Deployment, or start dagster dev again."


def broken_of(name: str, error: SettingsError) -> dg.Definitions:
    """Return the sensor and the job of a stream that cannot be used; both fail with the error.

    The job is there so that a run which was launched before the folder broke ends with the same words.
    """
    said = f"{error} {_RELOAD}"

    @dg.op(name=f"{name}_cannot_be_used", description=said, config_schema={"lease_seconds": LEASE_SECONDS})
    def cannot_be_used() -> None:
        raise dg.Failure(said, allow_retries=False)

    @dg.job(
        name=job_name(name),
        description=said,
        config=dg.ConfigMapping(
            config_fn=lambda config: {"ops": {f"{name}_cannot_be_used": {"config": config}}},
            config_schema={"lease_seconds": LEASE_SECONDS},
        ),
        tags=TAGS,
    )
    def job() -> None:
        cannot_be_used()

    @dg.sensor(
        name=sensor_name(name),
        job_name=job_name(name),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=said,
    )
    def keep_alive(_: dg.SensorEvaluationContext) -> None:
        raise SettingsError(error.what, f"{error.todo} {_RELOAD}".strip())

    return dg.Definitions(jobs=[job], sensors=[keep_alive])


Shared = Callable[[Sequence[EventStream]], dg.Definitions]
"""Returns what streams share."""


def location(streams: Mapping[str, EventStream | SettingsError], shared: Shared) -> dg.Definitions:
    """Return what Dagster loads.

    Dagster looks at the whole only when it loads it, and one stream that cannot stand beside the others would take all
    of them with it. So it is looked at here, which costs nothing: Dagster takes what this has made. Where it refuses
    the whole, each stream is tried beside those before it.
    """
    present = told_apart(streams)
    with suppress(Exception):  # Dagster's checks raise errors of many kinds
        return _loaded(present, shared)
    fit = replace(present, usable=[], definitions=[])
    for stream, definitions in zip(present.usable, present.definitions, strict=True):
        more = replace(fit, usable=[*fit.usable, stream], definitions=[*fit.definitions, definitions])
        try:
            _loaded(more, shared)
        except Exception as error:
            fit = replace(fit, broken={**fit.broken, stream.name: refused(stream.name, error)})
        else:
            fit = more
    return _merged(fit, shared)


def _loaded(present: Streams, shared: Shared) -> dg.Definitions:
    """Return the whole, as Dagster has looked at it. Raises what Dagster refuses it with."""
    whole = _merged(present, shared)
    whole.get_repository_def().load_all_definitions()
    return whole


def _merged(present: Streams, shared: Shared) -> dg.Definitions:
    broken = (broken_of(name, error) for name, error in present.broken.items())
    return dg.Definitions.merge(shared(present.usable), *present.definitions, *broken)
