"""The command `generate`: arguments only."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from engagement_platform.local.generator.notes import NoteWriter
from engagement_platform.local.generator.plans import Workload


@click.command()
@click.option("--rate", default=200.0, show_default=True, type=click.FloatRange(0.1), help="Committed events a second.")
@click.option("--writers", default=4, show_default=True, type=click.IntRange(1, 64), help="Concurrent connections.")
@click.option("--seed", default=7, show_default=True, help="The same seed makes up the same contents and sessions.")
@click.option("--for", "seconds", type=click.FloatRange(0, min_open=True), help="Seconds after which to end.")
@click.option(
    "--notes", type=click.Path(path_type=Path, allow_dash=True), help="File (- for stdout) for a line per commit."
)
@click.option("--while-stdin-is-open", is_flag=True, help="End also when standard input ends: with the program there.")
@click.option(
    "--dsn", envvar="ENGAGEMENT_LOCAL_WRITER_DSN", required=True, help="PostgreSQL to write to.", show_envvar=True
)
def generate(
    *,
    rate: float,
    writers: int,
    seed: int,
    seconds: float | None,
    notes: Path | None,
    while_stdin_is_open: bool,
    dsn: str,
) -> None:
    """Write made-up engagement events to the source database, until stopped."""
    from engagement_platform.local.generator.writer import generate as run

    stop = threading.Event()
    _stop_on_signals(stop)
    if seconds is not None:
        _in_background(lambda: stop.wait(seconds), stop)
    if while_stdin_is_open:
        _in_background(lambda: os.read(0, 1), stop)
    with _note(notes, stop) as note:
        outcome = run(dsn, Workload(rate, writers, seed), stop, note=note, log=partial(click.echo, err=True))
    click.echo(str(outcome), err=True)


def _stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` from a thread: a handler could interrupt the main thread inside the event's own lock."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    _in_background(lambda: signal.sigwait(signals), stop)


def _in_background(until: Callable[[], object], stop: threading.Event) -> None:
    def run() -> None:
        until()
        stop.set()

    threading.Thread(target=run, daemon=True).start()


@contextmanager
def _note(path: Path | None, stop: threading.Event) -> Iterator[Callable[[int, list[int]], None]]:
    if path is None:
        yield lambda _at, _ids: None
    elif str(path) == "-":
        yield NoteWriter(sys.stdout.fileno(), stop)
    else:
        with path.open("ab", buffering=0) as file:
            yield NoteWriter(file.fileno(), stop)
