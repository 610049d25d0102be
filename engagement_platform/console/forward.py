"""The operator's commands for forward: where it begins."""

from typing import Literal

import click


@click.group()
def forward() -> None:
    """Mend where forward, which delivers to the partner's API, stands in Kafka."""


@forward.command()
@click.option(
    "--at",
    type=click.Choice(["earliest", "latest"]),
    required=True,
    help="At the oldest messages that Kafka still has, or behind the newest.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def restart(*, at: Literal["earliest", "latest"], yes: bool) -> None:
    """Let forward begin elsewhere. Replays and redrives that wait stay where they can be used."""
    if not yes:
        again = "What was delivered already is delivered again, with the same keys."
        never = "What waits in the topic is not delivered."
        click.confirm(f"{again if at == 'earliest' else never} Go on?", abort=True)
    from engagement_platform.adapters.kafka import group
    from engagement_platform.settings import load

    for topic, offsets in group.restart(load(), at).items():
        places = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(offsets.items()))
        click.echo(f"{topic}: forward goes on from the offsets {places}")
