"""What Dagster loads: explicit lists, no logic. A test holds them against what the package defines."""

import dagster as dg

from engagement_platform.orchestration.assets import redis_views, source_content, source_events, topic_events
from engagement_platform.orchestration.retention import (
    prune_engagement_stream_runs,
    prune_engagement_stream_runs_daily,
)
from engagement_platform.orchestration.sensors import keep_engagement_stream_alive
from engagement_platform.orchestration.stream_job import engagement_stream

definitions = dg.Definitions(
    assets=[source_content, source_events, topic_events, redis_views],
    jobs=[engagement_stream, prune_engagement_stream_runs],
    sensors=[keep_engagement_stream_alive],
    schedules=[prune_engagement_stream_runs_daily],
)
