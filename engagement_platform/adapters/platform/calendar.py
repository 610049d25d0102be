"""What the platform's database knows of each day of the warehouse: rebuilds, loads, comparisons, and what is due."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.adapters.platform.loads import present_table
from engagement_platform.domain.calendar import (
    Compared,
    DayFacts,
    LoadedBy,
    RebuiltBy,
    faults_of,
    warnings_of,
)
from engagement_platform.domain.reconciliation import Findings

_SQL = sql.load(__package__, "calendar.sql")


class Calendar(Store):
    """The days of a stream's table."""

    def keep(self, run_id: str, findings: Iterable[Findings]) -> None:
        """Keep what a run has found in comparing days with the source."""
        with self.session.transaction():
            for one in findings:
                self.session.execute(
                    _SQL["compared"],
                    day=one.day,
                    run_id=run_id,
                    source_rows=one.source_rows,
                    table_rows=one.table_rows,
                    faults=Jsonb(faults_of(one)),
                    warnings=Jsonb(warnings_of(one)),
                )

    def facts(self, first: date, last: date) -> dict[date, DayFacts]:
        """Return what is known of the days of a span, of those that it knows; the rows of the warehouse are not.

        A table made anew has nothing of the one before it.
        """
        span = {"first": first, "last": last, "table_id": present_table(self.session)}
        rebuilds = self.session.all(_SQL["rebuilds"], **span)
        done = {row["day"]: _rebuilt(row) for row in rebuilds if row["state"] == "done"}
        under_way = {row["day"]: _rebuilt(row) for row in rebuilds if row["state"] == "open"}
        loaded = {row["day"]: LoadedBy(**_without_day(row)) for row in self.session.all(_SQL["loads"], **span)}
        compared = {row["day"]: Compared(**_without_day(row)) for row in self.session.all(_SQL["comparisons"], **span)}
        due = {row["day"]: str(row["reason"]) for row in self.session.all(_SQL["due"], **span)}
        return {
            day: DayFacts(
                rebuilt=done.get(day),
                under_way=under_way.get(day),
                loaded=loaded.get(day),
                compared=compared.get(day),
                due=due.get(day),
            )
            for day in {*done, *under_way, *loaded, *compared, *due}
        }


def _rebuilt(row: Mapping[str, Any]) -> RebuiltBy:
    return RebuiltBy(row["run_id"], row["opened_at"], row["at"], row["rows"])


def _without_day(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "day"}
