"""Reports what a loop has done as materializations of the asset that it keeps up to date."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from engagement_platform.domain.latency import Histogram
from engagement_platform.domain.loop_state import in_words
from engagement_platform.stream.control import Progress

log = logging.getLogger("engagement_platform.materializations")

FIRST_SECONDS = 10.0
EVERY_SECONDS = 30.0
"""Seldom, for an op keeps what it has logged in memory until it ends."""


class Reporter:
    """Turns the progress made since the last report into a materialization. Takes the latencies and resets them."""

    def __init__(self, asset: dg.AssetKey, progress: Progress) -> None:
        self._asset = asset
        self._progress = progress
        self._events = progress.events
        self._at = time.monotonic()

    def report(self) -> dg.AssetMaterialization:
        """Return what happened since the last report."""
        progress, now = self._progress, time.monotonic()
        progress.latency, latency = Histogram(), progress.latency
        total = progress.events
        events, seconds = total - self._events, max(now - self._at, 0.001)
        self._events, self._at = total, now
        figures: dict[str, int | float | str] = {
            "events": events,
            "events/s": round(events / seconds, 1),
            "state": in_words(progress.state),
            **({} if progress.lag is None else {"lag": progress.lag}),
            **progress.detail,
        }
        if latency.count:
            figures |= {
                f"{name} ms": round(latency.quantile(share) or 0.0, 1)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            }
        return dg.AssetMaterialization(self._asset, metadata=figures)


@contextmanager
def reported(context: dg.OpExecutionContext, asset: dg.AssetKey, progress: Progress) -> Iterator[None]:
    """Log materializations from a thread while the block runs, and a last one after it.

    From a thread, because the loop must go on while Dagster's storage does not answer.
    """
    reporter, closing = Reporter(asset, progress), threading.Event()

    def log_once() -> None:
        try:
            context.log_event(reporter.report())
        except Exception as error:  # a figure that is not plotted must not end the stream
            log.warning("the materialization of %s was not stored: %s", asset.to_user_string(), error)

    def log_until_closed() -> None:
        pause = FIRST_SECONDS
        while not closing.wait(pause):
            log_once()
            pause = EVERY_SECONDS

    thread = threading.Thread(target=log_until_closed, name="materializations", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join(1.0)
        log_once()
