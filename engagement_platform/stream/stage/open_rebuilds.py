"""Tells the rebuilds that their process has left, and settles them."""

import logging
from datetime import datetime

from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.adapters.warehouse.port import Replacement, Warehouse
from engagement_platform.domain.table import Table

log = logging.getLogger("engagement_platform.stage")

SILENT_SECONDS = 3.0
"""A rebuild without a heartbeat for this long is taken for dead: three heartbeats are missing.

One that lives nevertheless changes nothing any more: settling it makes its commit conflict, and it begins again.
"""

WATCH_SECONDS = 1.5
"""How long a rebuild is watched at least: one that lives beats meanwhile, also after the database stood still."""


class Silence:
    """Tells the rebuilds whose process is gone, by watching whether they beat.

    The database's clock alone would not do: it may be set back, or have gone on while the database stood still.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[datetime, float]] = {}

    def is_dead(self, rebuild: RebuildRow, after_seconds: float, now: float) -> bool:
        """Say whether a rebuild has been without a heartbeat for too long. `now` is of a clock that nobody sets."""
        beat_at, since = self._seen.get(rebuild.number, (None, now))
        if beat_at != rebuild.beat_at:
            since = now
            self._seen[rebuild.number] = (rebuild.beat_at, since)
        watched = now - since
        if watched > after_seconds:
            return True
        return rebuild.silent_seconds > after_seconds and watched >= min(WATCH_SECONDS, after_seconds)


def settle_rebuild(warehouse: Warehouse, rebuilds: Rebuilds, rebuild: RebuildRow, table: Table) -> None:
    """Close an open rebuild that its process has left: done when its data are in the table, else without effect.

    From the answer of `retire` on it cannot take effect any more, so that its process, should it still live, finds
    its row closed.
    """
    replacement = Replacement(table, rebuild.day, rebuild.number)
    if warehouse.retire(replacement):
        rebuilds.finish(rebuild.number, rebuild.rows or 0)
        log.warning("the rebuild of %s was left open; its data are in the table", rebuild.day)
    else:
        rebuilds.abandon(rebuild.number)
        log.warning("the rebuild of %s was left open without effect; the day is as it was", rebuild.day)
