"""Reports what a loop has done as materializations of the asset that it keeps up to date.

Only a loop that streams keeps its asset up to date, with events or without. Of one that waits, is refused, paused or
stopped there is no materialization: one observation tells its state instead, so that the asset grows old in the UI.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from engagement_platform.adapters.repeated import Repeated
from engagement_platform.domain.loop_state import LoopState, in_words
from engagement_platform.domain.progress import EVENTS
from engagement_platform.stream.progress import Progress

log = logging.getLogger("engagement_platform.materializations")

FIRST_SECONDS = 10.0
EVERY_SECONDS = 30.0
"""Seldom, for an op keeps what it has logged in memory until it ends."""


class Reporter:
    """Turns the progress made since the last report into a materialization, or the state of a loop that makes none."""

    def __init__(self, asset: dg.AssetKey, progress: Progress) -> None:
        self._asset = asset
        self._progress = progress
        self._before = progress.figures()
        self._at = time.monotonic()
        self._told: LoopState | None = None
        """The state that the last observation told, unless the loop has streamed since."""

    def report(self, *, last: bool = False) -> dg.AssetMaterialization | dg.AssetObservation | None:
        """Return what there is to tell. The `last` report tells of events that no other has told of."""
        state = self._progress.state
        if state.is_streaming or (last and self._progress.events > self._before.count(EVENTS)):
            self._told = None
            return dg.AssetMaterialization(self._asset, metadata=self._figures())
        if state.is_healthy or (self._told is not None and state.about(self._told)):
            return None
        self._told = state
        lag = self._progress.lag
        figures: dict[str, int | str] = {"state": in_words(state), **({} if lag is None else {"lag": lag})}
        return dg.AssetObservation(self._asset, metadata=figures)

    def _figures(self) -> dict[str, int | float | str]:
        """Return what happened since the last materialization."""
        progress, now, before, present = self._progress, time.monotonic(), self._before, self._progress.figures()
        events, latency = present.count(EVENTS) - before.count(EVENTS), present.latency - before.latency
        seconds = max(now - self._at, 0.001)
        self._before, self._at = present, now
        figures: dict[str, int | float | str] = {
            "events": events,
            "events/s": round(events / seconds, 1),
            "state": in_words(progress.state),
            **({} if progress.lag is None else {"lag": progress.lag}),
            **progress.detail,
        }
        if latency.count:
            figures |= {
                f"{name} ms": round(1_000 * (latency.quantile(share) or 0.0), 1)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            }
        return figures


@contextmanager
def reported(context: dg.OpExecutionContext, asset: dg.AssetKey, progress: Progress) -> Iterator[None]:
    """Log reports from a thread while the block runs, and a last one after it.

    From a thread, because the loop must go on while Dagster's storage does not answer.
    """
    reporter = Reporter(asset, progress)

    def log_once(*, last: bool = False) -> None:
        try:
            report = reporter.report(last=last)
            if report is not None:
                context.log_event(report)
        except Exception as error:  # a figure that is not plotted must not end the stream
            log.warning("the materialization of %s was not stored: %s", asset.to_user_string(), error)

    try:
        with Repeated("materializations", log_once, EVERY_SECONDS, log=log, first=FIRST_SECONDS):
            yield
    finally:
        log_once(last=True)
