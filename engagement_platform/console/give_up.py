"""The commands give-up, for any loop, and forward: what a loop that stands still gives up, and where forward begins."""

from typing import TYPE_CHECKING, Literal

import click

from engagement_platform.console.streams import of_stream, settings_of
from engagement_platform.domain.stream_names import aimed
from engagement_platform.stream.registry import NAMES

if TYPE_CHECKING:
    from engagement_platform.settings import Settings


@click.command()
@click.argument("loop", type=click.Choice(NAMES))
@click.option("--events", type=click.IntRange(1), help="At most so many; by default as many as wait now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def give_up(loop: str, *, events: int | None, yes: bool, stream: str | None) -> None:
    """Let a loop that stopped because too much is rejected give up what is rejected, and go on.

    What is not rejected is handled as ever. The loop begins with it within seconds, if it stands still within the hour.
    """
    decide(settings_of(stream), loop, events, yes=yes)


def decide(settings: "Settings", loop: str, events: int | None, *, yes: bool) -> None:
    """Let a loop give up messages, after asking. Raises Unavailable."""
    from engagement_platform.console.people import who
    from engagement_platform.recovery import rejections

    most = rejections.waiting(settings, loop) if events is None else events
    if most == 0:
        click.echo(f"No event waits for {_WAIT_FOR.get(loop, loop)}.")
        return
    if not yes:
        click.confirm(f"Up to {most} events {_BECOME.get(loop, _LETTERS)}. Go on?", abort=True)
    rejections.give_up(settings, loop, most, who())
    click.echo(f"Up to {most} events {_BECOME.get(loop, _LETTERS)}.")
    if loop != "tally":
        click.echo(aimed("Later they can be sent again: engagement-platform dead-letters redrive"))


_WAIT_FOR = {"forward": "the partner"}
_LETTERS = "that are rejected become dead letters"
_BECOME = {"forward": "become dead letters when the partner refuses them", "tally": "that are none are not counted"}


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

    since = recovery.missed_since(settings)
    for topic, offsets in recovery.restart(settings, at).items():
        listed = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(offsets.items()))
        click.echo(f"{topic}: forward goes on from the offsets {listed}")
    if since is not None:
        backfill = aimed(f"engagement-platform backfill --to api --since {since}")
        click.echo(f"What Kafka has no more, and was not delivered, is read from the source by: {backfill}")


@forward.command("give-up")
@click.option("--events", type=click.IntRange(1), help="At most so many; by default as many as wait now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def give_up_refused(*, events: int | None, yes: bool, stream: str | None) -> None:
    """Let events that the partner refuses become dead letters, where forward keeps them as it refuses all of them.

    Those that it takes are delivered. Forward begins with it within seconds, if it stands still within the hour. The
    same as: engagement-platform give-up forward
    """
    decide(settings_of(stream), "forward", events, yes=yes)
