"""What the stream reads and keeps up to date, as assets without a compute function: lineage, and plotted figures.

Nothing here can be materialized from the UI; the ops of `engagement_stream` report what they have done.
"""

from datetime import timedelta

import dagster as dg

SOURCE_GROUP = "source"
STREAM_GROUP = "stream"

STREAMED = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=10), warn_window=timedelta(minutes=3))
"""A loop that streams reports every half a minute, with events or without; one that does not stream reports nothing."""

_JOB = dg.MetadataValue.job("engagement_stream", location_name="engagement_platform")

source_content = dg.AssetSpec(
    ["postgres", "content"],
    description="Podcasts, newsletters and videos: slug, title, type, length. Owned by another team; only read here.",
    kinds={"postgres", "table"},
    group_name=SOURCE_GROUP,
)

source_events = dg.AssetSpec(
    ["postgres", "engagement_events"],
    deps=[source_content],
    description="One row for each play, pause, finish and click. Owned by another team; only read here.",
    kinds={"postgres", "table"},
    group_name=SOURCE_GROUP,
)

topic_events = dg.AssetSpec(
    ["kafka", "engagement_events"],
    deps=[source_events, source_content],
    description="Every committed event exactly once, enriched with its content. Key: content id. Value: JSON.",
    kinds={"kafka"},
    group_name=STREAM_GROUP,
    freshness_policy=STREAMED,
    metadata={"kept up to date by": _JOB},
)

redis_views = dg.AssetSpec(
    ["redis", "engagement_views"],
    deps=[topic_events],
    description=(
        "Engagement of the last ten minutes, count and milliseconds, by content, content type and device; "
        "readable the moment an event is applied."
    ),
    kinds={"redis"},
    group_name=STREAM_GROUP,
    freshness_policy=STREAMED,
    metadata={"kept up to date by": _JOB},
)

staged_batches = dg.AssetSpec(
    ["warehouse", "staged_batches"],
    deps=[topic_events],
    description="Batches of events, checked line by line and loaded into the warehouse's table every few seconds, "
    "each exactly once.",
    kinds={"json"},
    group_name=STREAM_GROUP,
    freshness_policy=STREAMED,
    metadata={"kept up to date by": _JOB},
)

partner_api = dg.AssetSpec(
    ["partner", "api"],
    deps=[topic_events],
    description="Events delivered to the partner's HTTP API at least once, in order for each content. What the partner "
    "does not take is kept as a dead letter.",
    kinds={"api"},
    group_name=STREAM_GROUP,
    freshness_policy=STREAMED,
    metadata={"kept up to date by": _JOB},
)
