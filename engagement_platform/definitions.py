"""What Dagster loads: one call for each stream, and what all of them share. A test holds the names."""

from collections.abc import Sequence

import dagster as dg

from engagement_platform.adapters import logs
from engagement_platform.adapters.openlineage.client import Catalog, is_wanted
from engagement_platform.adapters.streams import streams
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration import retention
from engagement_platform.orchestration.alerts import tell_what_is_wrong_of
from engagement_platform.orchestration.assets import sources_of
from engagement_platform.orchestration.catalog import catalogued_sources
from engagement_platform.orchestration.dagster_facts import watched_of
from engagement_platform.orchestration.dead_runs import end_dead_runs
from engagement_platform.orchestration.lineage import lineage_of_streams
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.location import location


def shared(streams: Sequence[EventStream]) -> dg.Definitions:
    """Return what streams share."""
    others = _shared(streams)
    alerts = tell_what_is_wrong_of(lambda: watched_of(streams, others))
    return dg.Definitions.merge(others, dg.Definitions(sensors=[alerts]))


def _shared(streams: Sequence[EventStream]) -> dg.Definitions:
    return dg.Definitions(
        assets=catalogued_sources(streams, sources_of(streams)),
        jobs=[retention.prune_engagement_stream_runs, retention.keep_warehouse_small],
        sensors=[end_dead_runs, *([lineage_of_streams(streams, Catalog)] if streams and is_wanted() else [])],
        schedules=[retention.prune_engagement_stream_runs_daily, retention.keep_warehouse_small_hourly],
        # One process for a run of the warehouse's assets: they follow each other, and a process each would cost
        # seconds.
        executor=in_one_living_process,
    )


logs.install()
definitions = location(streams(), shared)
