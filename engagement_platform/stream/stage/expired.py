"""Tells which events may have expired in Kafka before the stage read them."""

from collections.abc import Iterable

from engagement_platform.adapters.platform import published
from engagement_platform.adapters.platform.loads import LoadRow
from engagement_platform.domain.checkpoint import missing_ranges
from engagement_platform.domain.coverage import Coverage, common
from engagement_platform.settings import Settings

CLOCKS_APART_US = 60_000_000
"""How far the clocks of two relays may be apart whose headers and checkpoints are compared."""


def read_before(settings: Settings, last: LoadRow, partitions: Iterable[int]) -> Coverage:
    """Return ids that were published before every message that the loads up to the last one have not read."""
    moments = [last.unseen_at.get(partition, 0) for partition in partitions]
    then = published.before_unseen(settings, min(moments, default=0) - CLOCKS_APART_US)
    if then is not None:
        return Coverage(then.hi, tuple(missing_ranges(then)))
    # No checkpoint is so old. Then those from the last load on, and what was open when the first one was kept.
    loaded, kept = Coverage((last.lowest_id or 0) - 1), published.generations(settings)
    return common(loaded, Coverage(kept[0][0].hi, tuple(missing_ranges(kept[0][0])))) if kept else loaded
