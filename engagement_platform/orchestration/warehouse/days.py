"""The days that Dagster knows: the partitions of every table of the warehouse, today included."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import date

import dagster as dg

from engagement_platform.settings import first_day

# Backfill policies and partitioned checks are in beta; the lock pins the version. Said once here, not in every log.
for kind in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=kind)


def days_definition(stream: str) -> dg.DailyPartitionsDefinition:
    """Return one partition for each day from a stream's ENGAGEMENT_FIRST_DAY to today (UTC). Raises SettingsError."""
    return dg.DailyPartitionsDefinition(start_date=first_day(stream).isoformat(), timezone="UTC", end_offset=1)


def is_known(stream: str, day: date, today: date) -> bool:
    """Say whether Dagster has a partition of a stream for the day."""
    return first_day(stream) <= day <= today


def days_of(context: dg.AssetExecutionContext) -> Sequence[date]:
    """Return the days that a run is for, ascending."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def row_counts(rows: Mapping[date, int]) -> dict[str, dg.JsonMetadataValue | dg.IntMetadataValue]:
    """Return the metadata that say how many rows the days of a run have.

    Dagster shows them with each of the days, so the count that it plots is given only when there is one day.
    """
    counts: dict[str, dg.JsonMetadataValue | dg.IntMetadataValue] = {
        "rows": dg.MetadataValue.json({day.isoformat(): count for day, count in rows.items()})
    }
    if len(rows) == 1:
        counts["dagster/row_count"] = dg.MetadataValue.int(sum(rows.values()))
    return counts


FIRST_DAY, LAST_DAY, FAILED_DAYS = "first day", "last day", "days that failed"
"""Names, in the metadata, of the days that a check was for: Dagster notes no day where a run is for many."""


def noted_days(days: Collection[date], failed: Collection[date]) -> dict[str, str]:
    """Return which days a check was for, where they were more than one, and which of them are not as they should be."""
    if len(days) <= 1:  # Dagster notes it
        return {}
    named = {FAILED_DAYS: ", ".join(map(str, sorted(failed)))} if failed else {}
    return {FIRST_DAY: str(min(days)), LAST_DAY: str(max(days))} | named
