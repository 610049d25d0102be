"""Progress as materializations, and states as observations."""

import time

import dagster as dg
import pytest

from engagement_platform.domain.loop_state import STREAMING, Activity, LoopState
from engagement_platform.domain.progress import EVENTS, OPEN_IDS
from engagement_platform.orchestration.materializations import Reporter
from engagement_platform.stream.progress import Progress

ASSET = dg.AssetKey(["kafka", "engagement_events_topic"])


def figures(reporter: Reporter) -> dict[str, object]:
    report = reporter.report()
    assert isinstance(report, dg.AssetMaterialization)
    return {name: value.value for name, value in report.metadata.items()}


def streaming(events: int = 0) -> Progress:
    progress = Progress()
    progress.count(EVENTS, events)
    progress.streams()
    return progress


def test_each_report_tells_what_happened_since_the_last() -> None:
    progress = streaming(events=100)
    reporter = Reporter(ASSET, progress)
    progress.count(EVENTS, 50)
    progress.lag = 3
    progress.latency.add(0.01, 50)
    progress.set(OPEN_IDS, 2)
    first = figures(reporter)
    assert (first["events"], first["lag"], first["open_ids"]) == (50, 3, 2)
    assert first["p50 ms"] == first["max ms"] == 10
    progress.count(EVENTS, 10)
    second = figures(reporter)
    assert second["events"] == 10
    assert "p50 ms" not in second, "no event was timed since"


def test_a_loop_that_streams_without_events_keeps_its_asset_up_to_date() -> None:
    assert figures(Reporter(ASSET, streaming()))["events"] == 0


@pytest.mark.parametrize("kind", [Activity.SATURATED, Activity.GIVES_WAY])
def test_a_loop_through_which_events_pass_materializes_and_says_how(kind: Activity) -> None:
    progress = streaming(events=5)
    reporter = Reporter(ASSET, progress)
    progress.enter(LoopState(kind, time.time(), "Redis", "it is 3 s behind"))
    assert str(kind) in str(figures(reporter)["state"])


@pytest.mark.parametrize("kind", [kind for kind in Activity if kind not in STREAMING])
def test_a_loop_that_does_not_stream_materializes_nothing_and_says_once_why(kind: Activity) -> None:
    progress = streaming()
    reporter = Reporter(ASSET, progress)
    figures(reporter)
    progress.count(EVENTS, 7)
    state = LoopState(kind, time.time(), "the partner's API", "503")
    progress.enter(state)
    first = reporter.report()
    assert reporter.report() is None, "it is told once"
    if state.is_healthy:
        assert first is None
    else:
        assert isinstance(first, dg.AssetObservation)
        assert str(kind) in str(first.metadata["state"].value)
    progress.enter(LoopState(Activity.REFUSED, time.time(), "Kafka", "SASL"))
    another = reporter.report()
    assert isinstance(another, dg.AssetObservation)
    progress.streams()
    assert figures(reporter)["events"] == 7, "no event is left out of the figures"


def test_at_the_end_the_events_are_told_that_nobody_has_told_of() -> None:
    progress = streaming()
    reporter = Reporter(ASSET, progress)
    progress.count(EVENTS, 5)
    progress.enter(LoopState(Activity.WAITS, time.time(), "Redis", "away"))
    assert isinstance(reporter.report(), dg.AssetObservation)
    assert isinstance(reporter.report(last=True), dg.AssetMaterialization)
