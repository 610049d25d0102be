"""What the stream reads and keeps up to date, as assets without a compute function: lineage, and plotted figures.

Nothing here can be materialized from the UI; the ops of `engagement_stream` report what they have done.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from engagement_platform.stream.registry import loop_named

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


def _streamed(name: str, kind: str, deps: Sequence[dg.AssetSpec]) -> dg.AssetSpec:
    """Return what a loop keeps up to date, as its entry in the registry tells."""
    loop = loop_named(name)
    return dg.AssetSpec(
        loop.asset,
        deps=deps,
        description=loop.keeps,
        kinds={kind},
        group_name=STREAM_GROUP,
        freshness_policy=STREAMED,
        metadata={"kept up to date by": _JOB},
    )


topic_events = _streamed("relay", "kafka", [source_events, source_content])
redis_views = _streamed("tally", "redis", [topic_events])
staged_batches = _streamed("stage", "json", [topic_events])
partner_api = _streamed("forward", "api", [topic_events])

STREAM = (
    source_content,
    source_events,
    topic_events,
    redis_views,
    staged_batches,
    partner_api,
)
"""All of them, for the definitions."""
