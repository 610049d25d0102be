"""engagement-platform pause and resume: one sink stands still while the others run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from engagement_platform.console.people import who
from engagement_platform.console.streams import chosen, of_stream, settings_of
from engagement_platform.stream.registry import PAUSABLE, loop_named

if TYPE_CHECKING:
    from engagement_platform.adapters.platform.pauses import Pauses

_NOT_THE_RELAY = (
    "The relay is not paused by itself: it is what fills Kafka, from which every other loop could catch up. To let "
    "everything rest, turn the sensor keep_{stream}_stream_alive off and end the run."
)
_ANY = f"{', '.join(PAUSABLE[:-1])} or {PAUSABLE[-1]}"


@click.command(help=f"Let {_ANY} stand still, within two seconds, until it is resumed.")
@click.argument("loop", metavar="|".join(PAUSABLE))
@click.option("--why", default="", help="Shown wherever the pause is.")
@of_stream
def pause(loop: str, why: str, *, stream: str | None) -> None:
    """Pause a loop."""
    with _pauses(loop, stream) as pauses:
        begun = pauses.pause(loop, who(), why)
        present = pauses.present().get(loop)
    if begun:
        click.echo(f"{loop} is paused. {loop_named(loop).pause}")
    elif present is not None:
        click.echo(f"{loop} is paused already, {present}.")


@click.command()
@click.argument("loop", metavar="|".join(PAUSABLE))
@of_stream
def resume(loop: str, *, stream: str | None) -> None:
    """Let a loop that was paused go on from where it stood."""
    with _pauses(loop, stream) as pauses:
        ended = pauses.resume(loop, who())
    click.echo(f"{loop} goes on from where it stood." if ended else f"{loop} is not paused.")


@contextmanager
def _pauses(loop: str, stream: str | None) -> Iterator["Pauses"]:
    """Open the table of pauses. Raises click.UsageError for what cannot be paused."""
    if loop not in PAUSABLE:
        not_the_relay = _NOT_THE_RELAY.format(stream=chosen(stream))
        raise click.UsageError(not_the_relay if loop == "relay" else f"Name one of {', '.join(PAUSABLE)}.")
    from engagement_platform.adapters.platform.migrate import ensure_schema
    from engagement_platform.adapters.platform.pauses import Pauses

    settings = settings_of(stream)
    ensure_schema(settings)
    with Pauses.opened(settings, loop) as pauses:
        yield pauses
