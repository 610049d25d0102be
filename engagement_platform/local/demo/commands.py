"""The command `demo`: arguments only."""

from pathlib import Path

import click

from engagement_platform.local.commands import state_dir


@click.command()
@state_dir
@click.option(
    "--for", "seconds", type=click.FloatRange(0, min_open=True), help="Run for so many seconds, then compare."
)
@click.option("--rate", default=200.0, show_default=True, type=click.FloatRange(0.1), help="Committed events a second.")
@click.option("--writers", default=4, show_default=True, type=click.IntRange(1, 64), help="Concurrent connections.")
@click.option("--seed", default=7, show_default=True, help="The same seed makes up the same contents and sessions.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="File for what was measured, as JSON.")
@click.pass_context
def demo(
    context: click.Context,
    *,
    state_dir: Path,
    seconds: float | None,
    rate: float,
    writers: int,
    seed: int,
    report: Path | None,
) -> None:
    """Start everything and show events flowing from PostgreSQL through Kafka to Redis.

    With --for it stops by itself, compares what was committed with what arrived, and fails when an event was lost,
    doubled or late.
    """
    from rich.console import Console

    from engagement_platform.local.demo.demo import run
    from engagement_platform.local.generator.plans import Workload

    if report is not None and seconds is None:
        raise click.UsageError("--report needs --for: a report is written at the end of a timed run.")
    context.exit(run(state_dir, Workload(rate, writers, seed), seconds, report, Console()))
