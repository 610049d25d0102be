"""The `engagement-platform` command: arguments only."""

import sys
from collections.abc import Sequence

import click

from engagement_platform import __version__
from engagement_platform.console import commands as console
from engagement_platform.console.backfill import backfill
from engagement_platform.console.erase import erase_user
from engagement_platform.console.forward import forward
from engagement_platform.console.letters import dead_letters
from engagement_platform.console.pauses import pause, resume
from engagement_platform.console.query import sql
from engagement_platform.console.status import status
from engagement_platform.console.warehouse import warehouse
from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import commands as local
from engagement_platform.local.demo.commands import demo
from engagement_platform.local.generator.commands import generate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Stream engagement events from PostgreSQL to Kafka, Redis, a partner's API and a warehouse."""


for command in (
    demo,
    local.up,
    local.down,
    local.reset,
    console.doctor,
    console.checkpoint,
    console.views,
    backfill,
    dead_letters,
    erase_user,
    forward,
    pause,
    resume,
    sql,
    status,
    warehouse,
    generate,
):
    group.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error that people should read is shown without a traceback."""
    try:
        group.main(arguments, prog_name="engagement-platform")
    except EngagementError as error:
        click.secho(f"error: {error.what}", fg="red", err=True)
        if error.todo:
            click.echo(f"what to do: {error.todo}", err=True)
        sys.exit(1)
