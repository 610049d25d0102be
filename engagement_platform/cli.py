"""The `engagement-platform` command: the names of its commands, and where each is.

A command's module is imported when the command is named, and what it needs when it runs: help and usage errors are
there at once.
"""

import importlib
import sys
from collections.abc import Sequence

import click

from engagement_platform import __version__
from engagement_platform.domain.errors import EngagementError

COMMANDS = {
    "demo": ("local.demo.commands:demo", "Start everything and show events flowing from PostgreSQL to every sink."),
    "up": ("local.commands:up", "Start what is missing of the local stack: PostgreSQL, Kafka, Valkey and httpbin."),
    "down": ("local.commands:down", "Stop the local stack; its data stays."),
    "reset": ("local.commands:reset", "Stop the local stack and delete all its data."),
    "init": ("console.commands:init", "Write the folder from which Dagster runs the platform over your own servers."),
    "alert-test": ("console.alerts:alert_test", "Send a test to the webhook that is told when something is wrong."),
    "doctor": ("console.commands:doctor", "Check every server and right, and show the settings that are set."),
    "migrate": ("console.migrate:migrate", "Bring the tables of the platform and of Dagster up to date."),
    "status": ("console.commands:status", "Say whether all is well and how each loop stands."),
    "serve": (
        "console.serve.commands:serve",
        "Serve the page that says whether all is well, its JSON API and the metrics.",
    ),
    "stream": ("console.stream:stream", "Write the folder of a stream over your own table, check it, try it out."),
    "checkpoint": ("console.commands:checkpoint", "Show or mend where the relay stands."),
    "views": ("console.commands:views", "Mend the views in Redis."),
    "forward": ("console.give_up:forward", "Mend where forward, which delivers to the partner, stands."),
    "warehouse": ("console.warehouse:warehouse", "Show or mend what is loaded into the warehouse."),
    "backfill": ("console.backfill:backfill", "Rebuild days of the warehouse from the source, beside the stream."),
    "dead-letters": (
        "console.dead_letters:dead_letters",
        "Show what could not be delivered, send it again, discard it.",
    ),
    "trace": ("console.trace:trace", "Show where one event is: source, Kafka, Redis, warehouse, partner."),
    "give-up": ("console.give_up:give_up", "Let a loop that stopped give up what is rejected, and go on."),
    "pause": ("console.pauses:pause", "Let one sink stand still until it is resumed, while the others run."),
    "resume": ("console.pauses:resume", "Let a loop that was paused go on from where it stood."),
    "erase-user": ("console.erase:erase_user", "Erase the copies of a user who was deleted, and tell the partner."),
    "erasures": ("console.erase:erasures", "Show which users' erasures there were, and what came of them."),
    "sql": ("console.query:sql", "Run a SELECT on the warehouse."),
    "generate": ("local.generator.commands:generate", "Write made-up events to the source database, until stopped."),
}
"""Name -> (module:command, what it does in one line)."""


class LazyGroup(click.Group):
    """Knows its commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002, as click calls it
        """Return the names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002, as click calls it
        """Import a command; None for a name that there is not."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"engagement_platform.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002, as click calls it
        """Write what each command does without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Stream engagement events from PostgreSQL to Kafka, Redis, a partner's API and a warehouse."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error that people should read is shown without a traceback."""
    try:
        group.main(arguments, prog_name="engagement-platform")
    except EngagementError as error:
        click.secho(f"error: {error.what}", fg="red", err=True)
        if error.todo:
            click.echo(f"what to do: {error.todo}", err=True)
        sys.exit(1)
