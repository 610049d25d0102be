"""What Dagster loads: one call for each stream, and what all of them share. A test holds the names."""

from collections.abc import Sequence

import dagster as dg

from engagement_platform.adapters.streams import streams
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.assets import sources_of
from engagement_platform.orchestration.dead_runs import end_dead_runs
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.location import location
from engagement_platform.orchestration.retention import (
    keep_warehouse_small,
    keep_warehouse_small_hourly,
    prune_engagement_stream_runs,
    prune_engagement_stream_runs_daily,
)


def shared(streams: Sequence[EventStream]) -> dg.Definitions:
    """Return what streams share."""
    return dg.Definitions(
        assets=sources_of(streams),
        jobs=[prune_engagement_stream_runs, keep_warehouse_small],
        sensors=[end_dead_runs],
        schedules=[prune_engagement_stream_runs_daily, keep_warehouse_small_hourly],
        # One process for a run of the warehouse's assets: they follow each other, and a process each would cost
        # seconds.
        executor=in_one_living_process,
    )


definitions = location(streams(), shared)
