"""What Dagster has of each day of the warehouse's tables: made or missing, failed, stale, with a check that failed."""

from collections.abc import Mapping, Sequence

import dagster as dg

from engagement_platform.domain.dagster_facts import CheckStatus, Day, DayStatus, Table
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration import private
from engagement_platform.orchestration.warehouse.events import events_of
from engagement_platform.orchestration.warehouse.formulas import formula_of
from engagement_platform.orchestration.warehouse.marts import marts_of


def tables_of(stream: EventStream) -> list[dg.AssetSpec]:
    """Return the tables of a stream: that of its events, and those that are made from it."""
    return [spec for table in (events_of(stream), *marts_of(stream)) for spec in table.specs]


class DayFacts:
    """Looks at the days of some tables, again and again.

    For each table Dagster brings its own cache up to date, as its UI does; three queries, and one for what has been
    materialized since the last look.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        tables: Sequence[tuple[str, dg.AssetSpec]],
        checks: Sequence[dg.AssetCheckKey],
    ) -> None:
        self._instance = instance
        self._tables = tables
        keys = {spec.key for _, spec in tables}
        self._checks = [key for key in checks if key.asset_key in keys]
        self._formulas: dict[dg.AssetKey, dict[int, str | None]] = {}
        """Table -> number of the latest materialization of a day -> the formula that made it, which stays."""

    def read(self) -> list[Table]:
        """Return the tables with all days that Dagster knows."""
        failed = self._failed_checks()
        return [self._table(stream, spec, failed.get(spec.key, {})) for stream, spec in self._tables]

    def _table(self, stream: str, spec: dg.AssetSpec, failed: Mapping[str, Sequence[str]]) -> Table:
        days = [] if spec.partitions_def is None else spec.partitions_def.get_partition_keys()
        status = private.status_by_partition(self._instance, spec, days)
        stale = self._stale(spec)
        return Table(
            name=spec.key.path[-1],
            stream=stream,
            asset=spec.key.to_user_string(),
            days={
                day: Day(
                    DayStatus(status.get(day) or DayStatus.MISSING),
                    is_stale=day in stale,
                    failed_checks=tuple(failed.get(day, ())),
                )
                for day in days
            },
        )

    def _stale(self, spec: dg.AssetSpec) -> frozenset[str]:
        if not spec.code_version:
            return frozenset()
        latest, known = private.latest_ids(self._instance, spec.key), self._formulas.get(spec.key, {})
        new = private.tags_of(self._instance, spec.key, set(latest.values()) - known.keys())
        known = {number: known[number] for number in latest.values() if number in known} | {
            number: formula_of(tags) for number, (_, tags) in new.items()
        }
        self._formulas[spec.key] = known
        return frozenset(day for day, number in latest.items() if known.get(number) not in (None, spec.code_version))

    def _failed_checks(self) -> dict[dg.AssetKey, dict[str, list[str]]]:
        failed: dict[dg.AssetKey, dict[str, list[str]]] = {}
        for key, day, status in private.checks_by_partition(self._instance, self._checks):
            if day and status.lower() == CheckStatus.FAILED:
                failed.setdefault(key.asset_key, {}).setdefault(day, []).append(key.name)
        return failed
