"""What keeps a table fast and small under an append every few seconds: compaction, vacuum, checkpoint, log clean-up.

Everything is repeated by the next upkeep, so a conflict with a running write is left to it. Files that were replaced,
and those of writes that failed, stay for `KEPT_HOURS`: whoever reads an older version still finds them.
"""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial

import pyarrow as pa
from deltalake import DeltaTable

from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.adapters.warehouse.delta.tables import KEPT_HOURS
from engagement_platform.adapters.warehouse.port import Conflict

log = logging.getLogger("engagement_platform.warehouse")

SMALL_BYTES = 32 << 20
TARGET_BYTES = 128 << 20
SMALL_FILES = 8
"""A day with that many small files is compacted."""


def care_for(handle: DeltaTable, path: str, kept_hours: int = KEPT_HOURS) -> dict[str, int]:
    """Do all of it for one table; return figures.

    Vacuum comes first, since on a full disk it makes the room that compaction needs.
    """
    figures: Counter[str] = Counter()
    figures.update(files_deleted=_unless_conflict(path, lambda: _vacuum(handle, kept_hours)))
    for day, files in sorted(_small_files(handle).items()):
        if files >= SMALL_FILES:
            figures.update(files_compacted=_unless_conflict(path, partial(_compact, handle, day)))
    with explained(path, "writing"):
        handle.update_incremental()
        handle.create_checkpoint()
        handle.cleanup_metadata()
        figures.update(files=len(handle.file_uris()))
    return dict(figures)


def _unless_conflict(path: str, act: Callable[[], int]) -> int:
    """Return what `act` returns, or 0 when another writer was faster: then the next upkeep does it."""
    try:
        with explained(path, "writing"):
            return act()
    except Conflict:
        log.info("%s was written to during upkeep; the rest is left to the next one", path)
        return 0


def _vacuum(handle: DeltaTable, kept_hours: int) -> int:
    """Remove what no version of the last hours needs, and what writes that failed have left before them."""
    return len(handle.vacuum(kept_hours, dry_run=False, enforce_retention_duration=False, full=True))


def _small_files(handle: DeltaTable) -> Counter[str]:
    """Return how many small files each day has; a day is written as in the log."""
    by = handle.metadata().partition_columns[0]
    handle.update_incremental()
    actions = pa.table(handle.get_add_actions(flatten=True))
    sizes, days = actions.column("size_bytes").to_pylist(), actions.column(f"partition.{by}").to_pylist()
    return Counter(_text(day) for day, size in zip(days, sizes, strict=True) if size < SMALL_BYTES)


def _text(day: date | str) -> str:
    return day if isinstance(day, str) else day.isoformat()


def _compact(handle: DeltaTable, day: str) -> int:
    """Write the small files of a day as few large ones; return how many there were."""
    handle.update_incremental()
    by = handle.metadata().partition_columns[0]
    return int(handle.optimize.compact([(by, "=", day)], target_size=TARGET_BYTES)["numFilesRemoved"])
