"""engagement-platform trace: where one event is, from the source to each sink, and if not, why not."""

import json
from typing import TYPE_CHECKING

import click

from engagement_platform.console.dead_letters import plain
from engagement_platform.console.streams import of_stream, settings_of

if TYPE_CHECKING:
    from engagement_platform.domain.trace.trace import Trace


@click.command()
@click.argument("event_id", metavar="ID", type=click.IntRange(-(1 << 63), (1 << 63) - 1))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@of_stream
def trace(event_id: int, form: str, *, stream: str | None) -> None:
    """Show where an event is: its row, its message, its bucket, its load, each try at the partner, its dead letters.

    Only reads. What a server that is away would tell is said to be not known.
    """
    from engagement_platform.console.serve.trace_words import english
    from engagement_platform.domain.trace.trace import to_object
    from engagement_platform.health import trace as tracing

    found = tracing.trace(settings_of(stream), event_id)
    if form == "json":
        click.echo(json.dumps(to_object(found, english), ensure_ascii=True))
    else:
        _show(found)


def _show(found: "Trace") -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from engagement_platform.console.serve.trace_words import english

    table = Table(
        Column("place", no_wrap=True),
        Column("state", no_wrap=True),
        Column("what", overflow="fold"),
        title=f"Event {found.event_id} of {found.stream}",
        title_justify="left",
    )
    for step in found.steps:
        lines = [english(step.said), *(f"- {english(note)}" for note in step.notes)]
        table.add_row(step.place.value, step.mark.value, Text("\n".join(map(plain, lines))))
    Console().print(table)
