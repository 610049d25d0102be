"""By which load of the stream, or which rebuild of its day, the warehouse has an event."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.adapters.platform.loads import present_table
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.ids import decode
from engagement_platform.domain.trace.facts import Loaded, Rebuilt

_SQL = sql.load(__package__, "loads.sql")


@dataclass(frozen=True, slots=True)
class OfDay:
    """How a day stands."""

    rebuilt: Rebuilt | None
    """Its latest rebuild that is done; what is covered is that of one event."""
    is_open: bool
    """Whether it is being rebuilt."""


class Brought(Store):
    """The tables of loads and of rebuilds, as a trace asks them about the present table. Raises Unavailable."""

    @cached_property
    def _table_id(self) -> str | None:
        return present_table(self.session)

    def load_with(self, topic_id: str, partition: int, offset: int, since: datetime) -> Loaded | None:
        """Return the load, entered since a time, that has a message; None where none is noted."""
        of_message = {"topic_id": topic_id, "partition": partition, "offset": offset}
        row = self.session.one(_SQL["with_offset"], **of_message, since=since, table_id=self._table_id)
        return None if row is None else Loaded(**row)

    def of_day(self, day: date, event_id: int) -> OfDay:
        """Return how the day of an event stands."""
        (row,) = self.session.all(_SQL["rebuild_of_day"], day=day, table_id=self._table_id)
        return OfDay(None if row["number"] is None else _rebuilt(row, event_id), row["is_open"])

    def next_offset(self, topic_id: str, partition: int) -> int | None:
        """Return with which offset of a partition the stage's next batch begins; None before its first one."""
        row = self.session.one(_SQL["offsets_of_stage"], topic_id=topic_id, table_id=self._table_id)
        return None if row is None else row["next_offsets"].get(str(partition))


def _rebuilt(row: dict[str, Any], event_id: int) -> Rebuilt:
    covers = row["covered_hi"] is not None and Coverage(row["covered_hi"], decode(row["covered_missing"])).covers(
        event_id
    )
    return Rebuilt(row["number"], row["run_id"], row["closed_at"], covers)
