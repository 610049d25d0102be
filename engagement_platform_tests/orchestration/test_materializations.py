"""Progress as materializations."""

import dagster as dg

from engagement_platform.orchestration.materializations import Reporter
from engagement_platform.stream.control import Progress

ASSET = dg.AssetKey(["kafka", "engagement_events"])


def figures(reporter: Reporter) -> dict[str, object]:
    return {name: value.value for name, value in reporter.report().metadata.items()}


def test_each_report_tells_what_happened_since_the_last() -> None:
    progress = Progress(events=100)
    reporter = Reporter(ASSET, progress)
    progress.events, progress.lag = 150, 3
    progress.latency.add(10, 50)
    progress.detail["open_ids"] = 2
    first = figures(reporter)
    assert (first["events"], first["lag"], first["open_ids"]) == (50, 3, 2)
    assert first["p50 ms"] == first["max ms"] == 10
    progress.events = 160
    second = figures(reporter)
    assert second["events"] == 10
    assert "p50 ms" not in second, "no event was timed since"
