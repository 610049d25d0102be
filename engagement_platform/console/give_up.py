"""engagement-platform give-up: a loop that stands still because of what is rejected gives it up, and goes on."""

from typing import TYPE_CHECKING

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
