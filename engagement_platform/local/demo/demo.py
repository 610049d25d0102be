"""The demo: starts everything, shows events flowing, and in a timed run proves that none was lost or doubled.

Whatever happens, everything that was started is stopped; every wait has a bound.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from engagement_platform import settings as configuration
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import commands, stack
from engagement_platform.local.demo.figures import Observer
from engagement_platform.local.demo.programs import Dagster, Measuring, Page
from engagement_platform.local.demo.reconcile import reconcile
from engagement_platform.local.demo.report import faults, report
from engagement_platform.local.demo.screen import Meter, Totals, View, line, screen
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.state import exclusive

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked to stop while the demo was busy with a long step. No Exception, so that nothing swallows it."""


class Stop:
    """Whether to stop. A plain flag: a handler may run between any two instructions, so it takes no lock."""

    def __init__(self) -> None:
        self.requested = False
        self.interrupts = True
        """Whether a request breaks off the step in hand at once. Off where steps look at `requested` themselves."""

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal. A second request during the cleaning-up changes nothing."""
        first, self.requested = not self.requested, True
        if first and self.interrupts:
            raise Stopped

    def wait(self, seconds: float) -> bool:
        """Pause, at most until a stop is asked for; return whether it was."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self.requested


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn the signals into a Stop for the duration of the block."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


ALIVE_SECONDS = 240
"""How long Dagster may take until a run streams; some seconds are usual."""

FIRST_EVENT_SECONDS = 120
_SCREEN_SECONDS = 0.5
_LINE_SECONDS = 5.0
_INTERRUPTED = 130
_LAST_WORDS = "Everything is stopped. `make demo` goes on where this ended; `engagement-platform reset` forgets it."


def run(folder: Path, workload: Workload, seconds: float | None, report: Path | None, console: Console) -> int:
    """Run the demo; return the exit code. Raises EngagementError, with everything stopped.

    `seconds` are for how long events flow, from the first one found in Redis; None until it is stopped.
    """
    with stoppable() as stop, exclusive(folder.absolute(), "demo"):
        try:
            with ExitStack() as parts:
                parts.callback(_say, console, _LAST_WORDS)
                code = _Demo(folder, workload, seconds, report, console, stop, parts).run()
        except Stopped:
            code = _INTERRUPTED
        return 0 if stop.requested and seconds is None else code


def _say(console: Console, text: str) -> None:
    # A closed terminal must not keep anything from being stopped.
    with suppress(OSError):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


@dataclass
class _Demo:
    """One run. The parts are stopped in reverse order by the ExitStack, which nothing interrupts."""

    folder: Path
    workload: Workload
    seconds: float | None
    report: Path | None
    console: Console
    stop: Stop
    parts: ExitStack
    meter: Meter = field(default_factory=Meter)
    launched_ns: int = 0

    def run(self) -> int:
        try:
            self._start()
            self._until_first_event()
            return self._flow()
        finally:
            self.stop.interrupts = False
            _say(self.console, "Stopping …")

    def _start(self) -> None:
        folder = self.folder
        self.parts.callback(stack.down, folder)
        variables = stack.environment(commands.start(folder), folder)
        os.environ.update(variables)
        self._settings = configuration.load()
        ensure_topics(self._settings)
        self._observer = Observer(self._settings)
        self.parts.callback(self._observer.close)
        self._dagster, self._page = Dagster(folder), Page(folder)
        self._dagster.kill_leftovers()
        self._page.kill_leftovers()
        self._measuring = Measuring(folder, os.environ)
        self.parts.callback(self._measuring.stop)
        self._measuring.start_reader()
        self.parts.callback(self._dagster.stop)
        self.launched_ns = time.time_ns()
        self._dagster.start(os.environ)
        self._page.dagster_url = self._dagster.url
        self.parts.callback(self._page.stop)
        self._page.start(os.environ)
        self.parts.callback(self._measuring.stop_generator)  # first of all: what it writes then would wait
        self.stop.interrupts = False

    def _until_first_event(self) -> None:
        _say(self.console, f"The page that says whether all is well: {self._page.url}")
        _say(self.console, f"Dagster starts on {self._dagster.url}")
        self._wait(self._observer.is_alive, ALIVE_SECONDS, "No run of Dagster streams")
        if not self.stop.requested:
            self._measuring.start_generator(self.workload)
        self._wait(
            lambda: self._measuring.seen.first_visible_ns is not None, FIRST_EVENT_SECONDS, "No event is in Redis"
        )

    def _wait(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not self.stop.requested and not condition():
            self._check()
            if time.monotonic() > deadline:
                raise EngagementError(
                    f"{otherwise} after {seconds:.0f} s.",
                    f"See the runs on {self._dagster.url}, and the log {self._dagster.daemon.log_file}",
                )
            self.stop.wait(0.1)

    def _check(self) -> None:
        self._dagster.check()
        self._page.check()
        self._measuring.check()

    def _flow(self) -> int:
        """Let events flow until the time is over or a stop is asked for; compare after a timed run."""
        end = None if self.seconds is None else self._first_seen_at() + self.seconds
        with self._shown() as (show, pause):
            while not self.stop.requested and (end is None or time.time() < end):
                self._check()
                self._observer.read()
                show(self._view())
                self.stop.wait(pause if end is None else min(pause, max(end - time.time(), 0)))
        if self.stop.requested:
            return _INTERRUPTED
        return self._compare()

    def _first_seen_at(self) -> float:
        return (self._measuring.seen.first_visible_ns or 0) / 1e9

    def _view(self) -> View:
        seen, figures = self._measuring.seen, self._observer.last
        handled = figures.handled
        totals = Totals(seen.noted, seen.in_kafka, seen.in_redis, handled.get("forward", 0), handled.get("stage", 0))
        rates = self.meter.rates(time.monotonic(), totals)
        return View(
            time.time() - self._first_seen_at(), figures, seen, totals, rates, self._page.url, self._dagster.url
        )

    @contextmanager
    def _shown(self) -> Iterator[tuple[Callable[[View], None], float]]:
        """Show views on the terminal, or as a line now and then."""
        if not self.console.is_terminal or self.seconds is not None or self.report is not None:
            yield lambda view: _say(self.console, line(view)), _LINE_SECONDS
            return
        with Live(console=self.console, auto_refresh=False, screen=True) as live:
            yield lambda view: live.update(screen(view), refresh=True), _SCREEN_SECONDS

    def _compare(self) -> int:
        """Compare what was committed with what arrived, and write the report."""
        flowed = time.time() - self._first_seen_at()
        self._measuring.stop_generator()
        _say(self.console, "The generator has stopped. Comparing PostgreSQL, Kafka and Redis …")
        self.stop.interrupts = True
        seen = self._measuring.finish()
        result = reconcile(self._settings)
        figures = report(
            result,
            seen,
            hand_overs=max(self._observer.epochs() - 1, 0),
            to_first=self._first_seen_at() - self.launched_ns / 1e9,
            rate=seen.noted / flowed,
        )
        self._write(figures)
        broken = list(faults(figures))
        for sentence in broken or ["Nothing was lost, nothing doubled, nothing late."]:
            _say(self.console, sentence)
        return 1 if broken else 0

    def _write(self, figures: dict[str, Any]) -> None:
        text = json.dumps(figures, indent=2, ensure_ascii=False)
        _say(self.console, text)
        if self.report is not None:
            self.report.write_text(text + "\n", encoding="utf-8")
