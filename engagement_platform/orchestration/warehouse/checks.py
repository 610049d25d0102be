"""Compares each day of a stream's table with the source. One property each; the day is read once for all of them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.reconciliation import Findings, Ids
from engagement_platform.domain.stream_form import Joined
from engagement_platform.domain.stream_names import PACKAGED, aimed, own_name
from engagement_platform.history.calendar import keep_comparison
from engagement_platform.history.reconcile import NewValue, new_values, reconcile_days, strange_days
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.days import days_definition, noted_days
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.settings import first_day, load, variable

_VALUES_OF_DAYS = 31
_VALUES_NAMED = 20
_VALUE_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Property:
    """What a day must have, and which ids break it."""

    name: str
    meaning: str
    broken: Callable[[Findings], dict[str, Ids]]
    blocking: bool = True
    awaits: bool = False
    """Whether it warns of events that the stream is still to bring."""


def properties_of(stream: EventStream) -> list[Property]:
    """Return what the days of a stream must have."""
    return [
        Property(
            "same_rows_as_source",
            "The day has exactly the events of the source; dead letters count as delivered.",
            lambda findings: {"missing": findings.missing, "not in the source": findings.surplus},
            awaits=True,
        ),
        *_same_sums(stream),
        Property(
            "same_values_as_source",
            "Every other column that is the source's own table's is as the source has it: an update, or a column that "
            "was added, shows once the day is rebuilt.",
            lambda findings: {"with other values": findings.changed},
            blocking=False,
        ),
        Property(
            "values_fit",
            "No event of the source is left out for a value that no row can hold (docs/types.md).",
            lambda findings: {"with a value that no row can hold": findings.unfit},
            blocking=False,
        ),
        Property("unique_ids", "No event is there twice.", lambda findings: {"doubled": findings.doubled}),
        Property(
            "own_day",
            "Every event lies on the day that the source gives it.",
            lambda findings: {"moved": findings.moved},
        ),
        *(_joined(name, joined) for name, joined in stream.joined.items()),
    ]


def sums_of(stream: EventStream) -> dict[str, str]:
    """Return column -> what the views add up of it, in words; nothing where nothing is summed."""
    sums = {measure.column: measure.name for measure in stream.views.measures if measure.column is not None}
    first = next(iter(sums), None)
    return sums if first is None or stream.checks.unit is None else sums | {first: stream.checks.unit}


def _same_sums(stream: EventStream) -> Iterator[Property]:
    """Yield what must be true of all sums: it is named by the first one."""
    sums = sums_of(stream)
    if sums:
        unit = next(iter(sums.values()))
        yield Property(
            f"same_{unit}_as_source",
            f"The sum of {', '.join(sums)}, and each of them, is that of the source.",
            lambda findings: {f"with other {unit}": findings.different},
        )


def _joined(name: str, joined: Joined) -> Property:
    return Property(
        f"{name}_known",
        f"Every event that names a {name} ({joined.column}) has its columns.",
        lambda findings: {f"without {name}": findings.unjoined.get(name, Ids())},
        blocking=False,
    )


def reconciliation_of(stream: EventStream) -> dg.AssetChecksDefinition:
    """Return the checks that compare the days of a run with the source."""
    properties = properties_of(stream)
    days = days_definition(stream.name)

    @dg.multi_asset_check(
        name=own_name(stream.name, "reconciliation"),
        specs=[
            dg.AssetCheckSpec(
                checked.name,
                asset=events_key(stream),
                description=checked.meaning,
                blocking=checked.blocking,
                partitions_def=days,
            )
            for checked in properties
        ],
        retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
    )
    def reconciliation(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Compare the days of the run with the source."""
        days = [date.fromisoformat(key) for key in context.op_execution_context.partition_keys]
        with explained(stream.name):
            settings = load(stream.name)
            findings = reconcile_days(settings, days)
            keep_comparison(settings, context.run.run_id, findings)
            results = [result(stream, checked, findings) for checked in properties]
        yield from results

    return reconciliation


def result(stream: EventStream, checked: Property, findings: Sequence[Findings]) -> dg.AssetCheckResult:
    """Return the outcome of one property over the days of a run: the ids that break it, and the command that helps."""
    broken = {
        finding.day: {kind: ids for kind, ids in checked.broken(finding).items() if ids.count} for finding in findings
    }
    faults = {day: kinds for day, kinds in broken.items() if kinds}
    said = [f"{day}: {ids.count} {kind}: {ids}" for day, kinds in faults.items() for kind, ids in kinds.items()]
    figures: dict[str, int | str] = {
        "rows in the source": sum(finding.source_rows for finding in findings),
        "rows in the warehouse": sum(finding.table_rows for finding in findings),
        **_sums(stream, findings),
        "dead letters": sum(finding.dead_letters for finding in findings),
        "on their way": sum(finding.awaited.count for finding in findings),
    }
    if faults:
        figures["repair"] = "; ".join(aimed(finding.repair) for finding in findings if finding.day in faults)
    late = [finding for finding in findings if finding.awaited.count] if checked.awaits else []
    said += [f"{finding.day}: {finding.awaited.count} are on their way, but the stream is behind" for finding in late]
    failed = {*faults, *(finding.day for finding in late)}
    figures |= noted_days([finding.day for finding in findings], failed)
    return dg.AssetCheckResult(
        asset_key=events_key(stream),
        check_name=checked.name,
        passed=not said,
        # What is only late must not keep the daily tables from being made.
        severity=dg.AssetCheckSeverity.ERROR
        if checked.blocking and (faults or not said)
        else dg.AssetCheckSeverity.WARN,
        description="\n".join(said) or "As it should be.",
        metadata=figures,
    )


def _sums(stream: EventStream, findings: Sequence[Findings]) -> dict[str, int]:
    figures: dict[str, int] = {}
    for column, what in sums_of(stream).items():
        sums = [finding.sums[column] for finding in findings if column in finding.sums]
        figures[f"{what} in the source"] = sum(one.source for one in sums)
        figures[f"{what} in the warehouse"] = sum(one.table for one in sums)
    return figures


def days_known_of(stream: EventStream) -> dg.AssetChecksDefinition:
    """Return the check that looks for events on days that Dagster does not know."""
    setting = variable("first_day", stream.name)

    @dg.asset_check(
        name="days_known",
        asset=events_key(stream),
        description=f"No event lies before the first day ({setting}) or after tomorrow: on days that nobody can "
        "rebuild.",
    )
    def days_known() -> dg.AssetCheckResult:
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        with explained(stream.name):
            strange = strange_days(load(stream.name), first_day(stream.name), tomorrow)
        said = f"{strange.events} events lie between {strange.first} and {strange.last}. "
        return dg.AssetCheckResult(
            passed=not strange.events,
            severity=dg.AssetCheckSeverity.WARN,
            description=said + f"Set {setting}, or ask the source's owner." if strange.events else "None.",
            metadata={"events": strange.events},
        )

    return days_known


def values_known_of(stream: EventStream) -> Iterator[dg.AssetChecksDefinition]:
    """Yield the check that looks for values that the source's owner has added, where some are expected."""
    columns = " or ".join(stream.checks.known_values)
    if not columns:
        return

    @dg.asset_check(
        name="values_known",
        asset=events_key(stream),
        description=f"Of the last {_VALUES_OF_DAYS} days, no event has in {columns} a value that is not among those "
        "that are known. Such events are counted, loaded and delivered as all others.",
    )
    def values_known() -> dg.AssetCheckResult:
        since = datetime.now(UTC) - timedelta(days=_VALUES_OF_DAYS)
        with explained(stream.name):
            values = new_values(load(stream.name), since)
        said = [_said(value) for value in values[:_VALUES_NAMED]]
        if len(values) > len(said):
            said.append(f"{len(values) - len(said)} more")
        todo = f"Once people know them, add them {_where_values_are(stream)}."
        return dg.AssetCheckResult(
            passed=not values,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"New: {'; '.join(said)}. {todo}" if values else "None.",
            metadata={"new values": len(values), "events": sum(value.events for value in values)},
        )

    yield values_known


def _where_values_are(stream: EventStream) -> str:
    if stream.name == PACKAGED:
        return f"to {variable('event_types')} or {variable('content_types')}"
    return "to known_values under [checks] of its stream.toml"


def _said(new: NewValue) -> str:
    value = json.dumps(new.value[:_VALUE_CHARACTERS], ensure_ascii=False)
    return f"{new.column} {value}: {new.events} events since {new.first:%Y-%m-%d %H:%M:%S} UTC"
