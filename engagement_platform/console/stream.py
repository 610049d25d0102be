"""engagement-platform stream: the folder of a stream, before anything runs by it. Arguments only."""

import sys
from datetime import datetime
from pathlib import Path

import click

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def stream() -> None:
    """Write the folder of a stream over your own table, check it, and see what it would publish and change."""


@stream.command()
@_FOLDER
@click.option("--table", required=True, metavar="SCHEMA.TABLE", help="The append-only table, as SQL writes it.")
@click.option("--name", help="The stream's name; by default the table's.")
@click.option("--id", "number", metavar="COLUMN", help="The column that a sequence numbers.")
@click.option("--time", metavar="COLUMN", help="The column with the time of the events, timestamptz.")
@click.option("--key", metavar="COLUMN", help="The message's key: events of one key stay in order.")
def init(folder: Path, *, table: str, name: str | None, number: str | None, time: str | None, key: str | None) -> None:
    """Write stream.toml, enriched.sql and an example of a daily table for a table that is there.

    Reads the source's catalogs and a part of its rows, and replaces no file.
    """
    from engagement_platform.console import stream_init
    from engagement_platform.domain.drafts.values import Wishes

    stream_init.write(folder, table, Wishes(name, number, time, key))


@stream.command()
@_FOLDER
@click.option("--offline", is_flag=True, help="Only what can be said without the source.")
def check(folder: Path, *, offline: bool) -> None:
    """Say everything that is wrong in the folder and at the source, with lines and remedies; exit 1 on faults."""
    from engagement_platform.console import stream_check

    sys.exit(0 if stream_check.report(folder, offline=offline) else 1)


@stream.command()
@_FOLDER
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 1_000), help="How many events.")
def preview(folder: Path, *, last: int) -> None:
    """Show the messages of the newest events as they would be published. Nothing is published."""
    from engagement_platform.console import stream_preview

    stream_preview.show(folder, last)


@stream.command()
@_FOLDER
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The day, in UTC.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Compare with the enriched.sql of another folder in one snapshot of the source, not with the warehouse.",
)
@click.option("--examples", default=3, show_default=True, type=click.IntRange(0, 100), help="Shown of each column.")
def diff(folder: Path, *, day: datetime, against: Path | None, examples: int) -> None:
    """Compare what enriched.sql gives for a past day now with what the warehouse has; exit 1 where they differ."""
    from engagement_platform.console import stream_diff

    sys.exit(0 if stream_diff.report(folder, day.date(), examples, against) else 1)
