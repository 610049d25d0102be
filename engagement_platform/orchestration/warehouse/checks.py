"""Compares each day of `engagement_events` with the source. One property each; the day is read once for all of them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from engagement_platform.domain.reconciliation import Findings, Ids
from engagement_platform.history.reconcile import NewValue, new_values, reconcile_days, strange_days
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.days import DAYS
from engagement_platform.orchestration.warehouse.events import engagement_events
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


PROPERTIES = (
    Property(
        "same_rows_as_source",
        "The day has exactly the events of the source; dead letters count as delivered.",
        lambda found: {"missing": found.missing, "not in the source": found.surplus},
        awaits=True,
    ),
    Property(
        "same_milliseconds_as_source",
        "The sum of duration_ms, and each of them, is that of the source.",
        lambda found: {"with other milliseconds": found.different},
    ),
    Property(
        "same_values_as_source",
        "Every other column that is the source's own table's is as the source has it: an update shows once the day is "
        "rebuilt.",
        lambda found: {"with other values": found.changed},
        blocking=False,
    ),
    Property(
        "values_fit",
        "No event of the source is left out for a value that no row can hold (docs/types.md).",
        lambda found: {"with a value that no row can hold": found.unfit},
        blocking=False,
    ),
    Property("unique_ids", "No event is there twice.", lambda found: {"doubled": found.doubled}),
    Property("own_day", "Every event lies on the day that the source gives it.", lambda found: {"moved": found.moved}),
    Property(
        "content_known",
        "Every event that names a content has its columns.",
        lambda found: {f"without {name}": ids for name, ids in found.unjoined.items()},
        blocking=False,
    ),
)


@dg.multi_asset_check(
    name="reconciliation",
    specs=[
        dg.AssetCheckSpec(
            checked.name,
            asset=engagement_events,
            description=checked.meaning,
            blocking=checked.blocking,
            partitions_def=DAYS,
        )
        for checked in PROPERTIES
    ],
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def reconciliation(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Compare the days of the run with the source."""
    settings = load()
    days = [date.fromisoformat(key) for key in context.op_execution_context.partition_keys]
    with explained():
        findings = reconcile_days(settings, days)
    for checked in PROPERTIES:
        yield result(checked, findings)


def result(checked: Property, findings: Sequence[Findings]) -> dg.AssetCheckResult:
    """Return the outcome of one property over the days of a run: the ids that break it, and the command that helps."""
    broken = {
        finding.day: {kind: ids for kind, ids in checked.broken(finding).items() if ids.count} for finding in findings
    }
    faults = {day: kinds for day, kinds in broken.items() if kinds}
    said = [f"{day}: {ids.count} {kind}: {ids}" for day, kinds in faults.items() for kind, ids in kinds.items()]
    figures: dict[str, int | str] = {
        "rows in the source": sum(finding.source_rows for finding in findings),
        "rows in the warehouse": sum(finding.table_rows for finding in findings),
        "milliseconds in the source": sum(sums.source for finding in findings for sums in finding.sums.values()),
        "milliseconds in the warehouse": sum(sums.table for finding in findings for sums in finding.sums.values()),
        "dead letters": sum(finding.dead_letters for finding in findings),
        "on their way": sum(finding.awaited.count for finding in findings),
    }
    if faults:
        figures["repair"] = "; ".join(finding.repair for finding in findings if finding.day in faults)
    late = [finding for finding in findings if finding.awaited.count] if checked.awaits else []
    said += [f"{finding.day}: {finding.awaited.count} are on their way, but the stream is behind" for finding in late]
    return dg.AssetCheckResult(
        asset_key=engagement_events.key,
        check_name=checked.name,
        passed=not said,
        # What is only late must not keep the daily tables from being made.
        severity=dg.AssetCheckSeverity.ERROR
        if checked.blocking and (faults or not said)
        else dg.AssetCheckSeverity.WARN,
        description="\n".join(said) or "As it should be.",
        metadata=figures,
    )


@dg.asset_check(
    asset=engagement_events,
    description="No event lies before ENGAGEMENT_FIRST_DAY or after tomorrow: on days that nobody can rebuild.",
)
def days_known() -> dg.AssetCheckResult:
    """Look for events on days that Dagster does not know."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with explained():
        strange = strange_days(load(), first_day(), tomorrow)
    said = f"{strange.events} events lie between {strange.first} and {strange.last}. "
    return dg.AssetCheckResult(
        passed=not strange.events,
        severity=dg.AssetCheckSeverity.WARN,
        description=said + "Set ENGAGEMENT_FIRST_DAY, or ask the source's owner." if strange.events else "None.",
        metadata={"events": strange.events},
    )


@dg.asset_check(
    asset=engagement_events,
    description=f"Of the last {_VALUES_OF_DAYS} days, no event has an event_type or content_type that the settings do "
    "not name. Such events are counted, loaded and delivered as all others.",
)
def values_known() -> dg.AssetCheckResult:
    """Look for values that the source's owner has added."""
    since = datetime.now(UTC) - timedelta(days=_VALUES_OF_DAYS)
    with explained():
        values = new_values(load(), since)
    said = [_said(value) for value in values[:_VALUES_NAMED]]
    if len(values) > len(said):
        said.append(f"{len(values) - len(said)} more")
    todo = f"Once people know them, add them to {variable('event_types')} or {variable('content_types')}."
    return dg.AssetCheckResult(
        passed=not values,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"New: {'; '.join(said)}. {todo}" if values else "None.",
        metadata={"new values": len(values), "events": sum(value.events for value in values)},
    )


def _said(new: NewValue) -> str:
    value = json.dumps(new.value[:_VALUE_CHARACTERS], ensure_ascii=False)
    return f"{new.column} {value}: {new.events} events since {new.first:%Y-%m-%d %H:%M:%S} UTC"
