"""What people would take instead, beside this platform, in one run of some ten minutes: `make bench peers`.

`make bench peers ARGS="stream rebuild"` measures some parts, `ARGS="--quick"` all of them shortly, to see that they
work. It starts servers of its own, with wal_level=logical, which Debezium needs and the relay does not. Each relay
works alone, one after another, on the same table under the same load. What cannot be had is said and left out.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import stack
from engagement_platform_tests import daemons
from engagement_platform_tests.bench.figures import Figure, table
from engagement_platform_tests.bench.peers import connect, cycle, harness, relays, ticking
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Load
from engagement_platform_tests.bench.peers.rebuilds import rebuilds
from engagement_platform_tests.bench.peers.report import Report, figures_of
from engagement_platform_tests.bench.peers.results import NothingSeen, NotToBeHad

ROWS_WAITING, ROWS_OF_A_DAY = 300_000, 1_000_000
QUICK = Load(1_000, warm_up_seconds=3, measured_seconds=10)
QUICK_ROWS = 50_000
MOST_OF_AN_ERROR = 500
STEADY: Sequence[Callable[[], Contender]] = (
    relays.relay,
    relays.fast_relay,
    connect.at_least_once,
    connect.exactly_once,
)
INSTEAD: Sequence[Callable[[], Contender]] = (relays.poller, ticking.tick)


class Run:
    """One run of the bench: what it is asked for, and what it has measured."""

    def __init__(self, bench: Bench, report: Report, load: Load, rows: tuple[int, int], only: str) -> None:
        self._bench = bench
        self._report = report
        self._load = load
        self._waiting, self._of_a_day = rows
        self._only = only

    def stream(self) -> None:
        """Measure the relay and Debezium under a steady load."""
        self._stream(STEADY, self._load)

    def instead(self) -> None:
        """Measure what is written first. Neither is any faster when it is warm."""
        self._stream(INSTEAD, replace(self._load, warm_up_seconds=min(10.0, self._load.warm_up_seconds)))

    def _stream(self, contenders: Sequence[Callable[[], Contender]], load: Load) -> None:
        for contender in self._those(contenders):
            with self._each():
                result = harness.stream(self._bench, contender, load)
                self._report.streams.append(result)
                _show(f"{result.name}, {load.rate:,.0f} events/s", figures_of(result))

    def catch_up(self) -> None:
        """Measure the relay and Debezium with rows that wait."""
        for contender in self._those(STEADY):
            with self._each():
                result = harness.catch_up(self._bench, contender, self._waiting)
                self._report.catching_up.append(result)
                _show(f"{result.name}, {result.events:,} rows that waited", figures_of(result))

    def rebuild(self) -> None:
        """Measure the rebuild of a day and those who load it."""
        with self._each():
            for result in rebuilds(self._bench, self._of_a_day, self._skip):
                self._report.rebuilds.append(result)
                _show(f"{result.name}, a day of {result.rows:,} rows", figures_of(result))

    def cycle(self) -> None:
        """Measure the parts of the relay's cycle. They are no result to compare: the report does without them."""
        for client in cycle.CLIENTS:
            with self._each():
                _show(f"relay, {client}: its cycle", cycle.cycles(self._bench, client, self._load))

    def _those(self, contenders: Sequence[Callable[[], Contender]]) -> Iterator[Contender]:
        """Yield those that can be had and are asked for."""
        for make in contenders:
            with self._each():
                contender = make()
                if self._only in contender.name:
                    yield contender

    @contextmanager
    def _each(self) -> Iterator[None]:
        """Let one that fails or cannot be had not take the others with it; it is said, and stands in the report."""
        try:
            yield
        except (NotToBeHad, NothingSeen, EngagementError, AssertionError) as error:
            self._skip(str(error))
        except Exception as error:  # whatever a tool raises
            self._skip(f"{type(error).__name__}: {str(error)[:MOST_OF_AN_ERROR]}")

    def _skip(self, why: str) -> None:
        self._report.skipped.append(why)
        _say(f"NOT MEASURED: {why}\n")


PARTS: dict[str, Callable[[Run], None]] = {
    "stream": Run.stream,
    "catch-up": Run.catch_up,
    "instead": Run.instead,
    "rebuild": Run.rebuild,
    "cycle": Run.cycle,
}


def main(arguments: Sequence[str]) -> None:
    """Measure the chosen parts; write report and plots."""
    given = _parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    report = Report(shlex.join(["make", "bench", "peers", *([f"ARGS={shlex.join(arguments)}"] if arguments else [])]))
    load = QUICK if given.quick else Load(given.rate, given.warm_up, given.seconds)
    rows = (QUICK_ROWS, QUICK_ROWS) if given.quick else (ROWS_WAITING, ROWS_OF_A_DAY)
    began = time.monotonic()
    with servers() as bench:
        run = Run(bench, report, load, rows, given.only)
        for name in given.parts or PARTS:
            PARTS[name](run)
    _show(f"beside the budgets ({time.monotonic() - began:.0f} s in all)", report.budgets())
    for why in report.skipped:
        _say(f"NOT MEASURED: {why}")
    _write(report, given.report)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench peers", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="short, to see that everything works: no figures to quote")
    parser.add_argument("--only", default="", help="relays whose name has this text, such as Debezium")
    parser.add_argument("--rate", type=float, default=Load.rate, help="events a second")
    parser.add_argument("--warm-up", type=float, default=Load.warm_up_seconds, help="seconds that are not measured")
    parser.add_argument("--seconds", type=float, default=Load.measured_seconds, help="seconds that are measured")
    parser.add_argument("--report", type=Path, help="the folder for report and plots; without it there are none")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return given


@contextmanager
def servers() -> Iterator[Bench]:
    """Run servers whose PostgreSQL lets its log be decoded; remove all of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="engagement-peers-") as folder:
        Path(folder).chmod(0o755)
        at = Path(folder) / "servers"
        try:
            endpoints = stack.up(at, use_usual_ports=False)
            with psycopg.connect(endpoints.admin_dsn, autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET wal_level = logical")
            postgres = daemons.server(at, "postgres")
            postgres.daemon.stop(postgres.stop_signal)
            postgres.start()
            yield Bench(endpoints, at, Path(folder) / "programs")
        finally:
            stack.reset(at)


def _show(title: str, figures: Sequence[Figure]) -> None:
    if figures:
        _say(table(f"{title}; load of the machine {os.getloadavg()[0]:.1f}", figures))


def _write(report: Report, folder: Path | None) -> None:
    if folder is None:
        return
    file = report.write(folder)
    _say(str(file))
    try:
        from engagement_platform_tests.bench.peers import plots

        for plot in plots.draw(file):
            _say(str(plot))
    except ImportError as error:
        _say(f"NOT DRAWN: {error}. It is of the extra `bench`.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
