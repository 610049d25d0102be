"""What keeps a table fast and small under an append every few seconds: compaction, vacuum, checkpoint, log clean-up.

Everything is repeated by the next upkeep, so a conflict with a running write is left to it. Files that were replaced,
and those of writes that failed, stay for `KEPT_HOURS`: whoever reads an older version still finds them.
"""

import logging
from collections import Counter
from datetime import date

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


def care_for(handle: DeltaTable, place: str, kept_hours: int = KEPT_HOURS) -> dict[str, int]:
    """Do all of it for one table; return figures."""
    compacted = [day for day, files in sorted(_small_files(handle).items()) if files >= SMALL_FILES]
    figures = Counter(days=len(compacted))
    for day in compacted:
        figures.update(_compact(handle, day, place))
    with explained(place, "writing"):
        handle.update_incremental()
        vacuumed = handle.vacuum(kept_hours, dry_run=False, enforce_retention_duration=False, full=True)
        handle.create_checkpoint()
        handle.cleanup_metadata()
    return {**figures, "files_deleted": len(vacuumed), "files": len(handle.file_uris())}


def _small_files(handle: DeltaTable) -> Counter[str]:
    """Return how many small files each day has; a day is written as in the log."""
    by = handle.metadata().partition_columns[0]
    actions = pa.table(handle.get_add_actions(flatten=True))
    sizes, days = actions.column("size_bytes").to_pylist(), actions.column(f"partition.{by}").to_pylist()
    return Counter(_text(day) for day, size in zip(days, sizes, strict=True) if size < SMALL_BYTES)


def _text(day: date | str) -> str:
    return day if isinstance(day, str) else day.isoformat()


def _compact(handle: DeltaTable, day: str, place: str) -> dict[str, int]:
    by = handle.metadata().partition_columns[0]
    try:
        with explained(place, "writing"):
            done = handle.optimize.compact([(by, "=", day)], target_size=TARGET_BYTES)
    except Conflict:
        log.info("%s of %s was written while it was compacted; it is left to the next upkeep", day, place)
        return {"conflicts": 1}
    return {"files_compacted": done["numFilesRemoved"]}
