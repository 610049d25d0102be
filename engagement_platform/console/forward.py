"""The operator's commands for forward: where it begins, and what it gives up."""

from typing import Literal

import click

from engagement_platform.console.streams import of_stream, settings_of


@click.group()
def forward() -> None:
    """Mend where forward, which delivers to the partner's API, stands in Kafka; give up what the partner refuses."""


@forward.command()
@click.option(
    "--at",
    type=click.Choice(["earliest", "latest"]),
    required=True,
    help="At the oldest messages that Kafka still has, or behind the newest.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def restart(*, at: Literal["earliest", "latest"], yes: bool, stream: str | None) -> None:
    """Let forward begin elsewhere. Replays and redrives that wait stay where they can be used."""
    settings = settings_of(stream)
    if not yes:
        again = "What was delivered already is delivered again, with the same keys."
        never = "What waits in the topic is not delivered."
        click.confirm(f"{again if at == 'earliest' else never} Go on?", abort=True)
    from engagement_platform.recovery import forward as recovery

    for topic, offsets in recovery.restart(settings, at).items():
        listed = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(offsets.items()))
        click.echo(f"{topic}: forward goes on from the offsets {listed}")


@forward.command("give-up")
@click.option("--events", type=click.IntRange(1), help="At most so many; by default as many as wait now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def give_up(*, events: int | None, yes: bool, stream: str | None) -> None:
    """Let events that the partner refuses become dead letters, where forward keeps them as it refuses all of them.

    Those that it takes are delivered. Forward begins with it within seconds, if it stands still within the hour. The
    same as: engagement-platform give-up forward
    """
    from engagement_platform.console.give_up import decide

    decide(settings_of(stream), "forward", events, yes=yes)
