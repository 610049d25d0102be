"""engagement-platform dead-letters: which events could not be delivered, and what is done about them."""

import json
import sys
import unicodedata
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from engagement_platform.console.people import who
from engagement_platform.console.streams import of_stream, settings_of
from engagement_platform.console.times import utc
from engagement_platform.domain.dead_letters import (
    NO_EVENT,
    UNSETTLED,
    Action,
    Address,
    Chosen,
    DeadLetterState,
    Letter,
    address_of,
)
from engagement_platform.stream.registry import LOOPS

if TYPE_CHECKING:
    from rich.table import Table

    from engagement_platform.dead_letters.list import DeadLetters
    from engagement_platform.dead_letters.redrive import Redriven
    from engagement_platform.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., None])


def _address(text: str) -> Address:
    try:
        return address_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def _time(text: str) -> datetime:
    try:
        return utc(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-11-01 or 2026-11-01T08:30:00.") from None


_SOURCES = ", ".join(loop.name for loop in LOOPS if loop.lacking)
_FILTERS = (
    click.option("--reason", default="", help="Only letters with this in their reason."),
    click.option("--source", "sources", multiple=True, help=f"Only letters of {_SOURCES}."),
    click.option("--since", type=_time, metavar="TIME", help="Only letters written at this time (UTC) or later."),
    click.option("--until", type=_time, metavar="TIME", help="Only letters written before this time (UTC)."),
    click.option("--id", "event_ids", type=int, multiple=True, help="Only letters of this event."),
)
_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


def _filtered(command: _Command) -> _Command:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """Show the events that could not be delivered, send them again, or discard them."""


@dead_letters.command("list")
@_filtered
@click.option(
    "--state",
    "states",
    type=click.Choice([*(state.value for state in DeadLetterState), "all"]),
    multiple=True,
    help="By default open and redriving: those that wait for somebody.",
)
@click.option("--limit", default=100, show_default=True, help="Only the newest so many; 0 for all.")
@_FORMAT
@of_stream
def list_(*, states: Sequence[str], limit: int, form: str, stream: str | None, **filters: Any) -> None:
    """List letters, the newest last."""
    chosen = Chosen(**filters, states=_states(states))
    newest: deque[Letter] = deque(maxlen=limit or None)
    number = 0
    with _opened(settings_of(stream)) as letters:
        for number, letter in enumerate(letters.chosen(chosen), 1):  # noqa: B007
            newest.append(letter if form == "json" else _without_event(letter))
    if form == "json":
        for letter in newest:
            click.echo(_json(letter))
        return
    _print(_table(newest))
    if number > len(newest):
        click.echo(f"{number} letters, of which the newest {len(newest)} are shown: --limit 0 for all.")


@contextmanager
def _opened(settings: "Settings") -> Iterator["DeadLetters"]:
    from engagement_platform.dead_letters.list import dead_letters_of

    with dead_letters_of(settings) as letters:
        yield letters


def _print(table: "Table") -> None:
    from rich.console import Console

    Console().print(table)


def _states(names: Sequence[str]) -> Collection[DeadLetterState]:
    if "all" in names:
        return tuple(DeadLetterState)
    return [DeadLetterState(name) for name in names] or UNSETTLED


def _without_event(letter: Letter) -> Letter:
    return Letter(letter.address, msgspec.structs.replace(letter.content, event=NO_EVENT), letter.actions)


def _table(letters: Iterable[Letter]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    # What tells a letter is shown whole in a narrow terminal, too: the reason has the room that is left.
    table = Table("letter", "written (UTC)", "source", "event", "state", "status", expand=True)
    table.add_column("reason", no_wrap=True, overflow="ellipsis", ratio=1)
    for letter in letters:
        content = letter.content
        number = "" if content.event_id is None else str(content.event_id)
        status = "" if content.status is None else str(content.status)
        state = letter.state.value
        table.add_row(
            str(letter.address),
            f"{content.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            *(Text(plain(cell)) for cell in (content.source, number, state, status, content.reason)),
        )
    return table


def plain(text: str) -> str:
    """Return a text of strangers without what would steer a terminal."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


@dead_letters.command()
@click.argument("address", type=_address, metavar="PARTITION:OFFSET")
@_FORMAT
@of_stream
def show(address: Address, form: str, *, stream: str | None) -> None:
    """Show a letter with its event, and what was done with it; `list` shows where it lies."""
    with _opened(settings_of(stream)) as letters:
        letter = next(letters.chosen(Chosen(addresses=[address])), None)
    if letter is None:
        raise click.UsageError(f"No letter lies at {address}.")
    if form == "json":
        click.echo(_json(letter))
        return
    _print(_fields(letter))
    if letter.content.event != NO_EVENT:
        event = _formatted(bytes(letter.content.event), indent=2).decode()
        click.echo("\n".join(map(plain, event.split("\n"))))


def _fields(letter: Letter) -> "Table":
    """Return everything but the event, for which a table has no room; the excerpt where there is no event."""
    from rich.table import Column, Table
    from rich.text import Text

    content: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(letter.content, event=NO_EVENT))
    if letter.content.event != NO_EVENT:
        del content["excerpt"]
    table = Table("", Column("", overflow="fold"), show_header=False, box=None)
    for name, value in ({"letter": letter.address, "state": letter.state.value} | content).items():
        table.add_row(name, Text(plain(str(value))))
    for action in letter.actions:
        table.add_row(action.kind, Text(plain(_told(action))))
    return table


def _formatted(event: bytes, indent: int) -> bytes:
    """Return JSON with other white space; what is nested deeper than the formatter follows, as it stands."""
    try:
        return msgspec.json.format(event, indent=indent)
    except RecursionError:
        return event


def _told(action: Action) -> str:
    begun = f"{action.begun_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {action.who}"
    parts = [begun, action.why, action.outcome or "not ended", action.note]
    return "; ".join(part for part in parts if part)


def _json(letter: Letter) -> str:
    """Return a letter as one line of JSON: where it lies, its state, the fields that it has, what was done with it."""
    content: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(letter.content, event=NO_EVENT))
    if letter.content.event != NO_EVENT:
        # To the byte, for a reader of JSON would make a float of a number.
        content["event"] = msgspec.Raw(_formatted(bytes(letter.content.event), indent=-1))
    where = {"address": str(letter.address), "state": letter.state.value}
    line = msgspec.json.encode(where | content | {"actions": letter.actions}).decode()
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


@dead_letters.command()
@click.argument("addresses", type=_address, nargs=-1, metavar="[PARTITION:OFFSET]...")
@_filtered
@click.option("--all", "everything", is_flag=True, help="All letters that are open.")
@click.option("--again", is_flag=True, help="Also those that were redriven or discarded before.")
@click.option("--why", default="", help="Kept with the record of it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@of_stream
def redrive(*, again: bool, why: str, dry_run: bool, stream: str | None, **options: Any) -> None:
    """Send the events of letters again: forward's to the partner, the stage's by a rebuild of their day.

    An event that is not in its letter is read from the source.
    """
    chosen = _chosen(options, tuple(DeadLetterState) if again else UNSETTLED)
    from engagement_platform.dead_letters.redrive import redrive as redrive_letters

    def tell(some: "Sequence[Redriven]") -> None:
        for redriven in some:
            mark = "would be redriven" if dry_run and redriven.done else "redriven" if redriven.done else "stays"
            click.echo(
                f"{redriven.letter.address} event {redriven.letter.content.event_id}: {mark}, {plain(redriven.note)}"
            )

    done, failed = redrive_letters(settings_of(stream), chosen, who(), why, tell, dry_run=dry_run)
    click.echo(f"{done} letters {'would be ' if dry_run else ''}redriven, {failed} cannot be.")
    sys.exit(1 if failed else 0)


@dead_letters.command()
@click.argument("addresses", type=_address, nargs=-1, metavar="[PARTITION:OFFSET]...")
@_filtered
@click.option("--all", "everything", is_flag=True, help="All letters that are open.")
@click.option("--why", required=True, help="Why nobody needs them; kept with the record of it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say which ones it would be.")
@of_stream
def discard(*, why: str, yes: bool, dry_run: bool, stream: str | None, **options: Any) -> None:
    """Settle letters without sending them. They stay in the topic, and who discarded them is recorded."""
    chosen = _chosen(options, UNSETTLED)
    from engagement_platform.dead_letters.redrive import discard as record_discard

    settings = settings_of(stream)
    with _opened(settings) as letters:
        chosen_letters = [_without_event(letter) for letter in letters.chosen(chosen)]
        topic_id = letters.topic_id
    _print(_table(chosen_letters))
    if dry_run or not chosen_letters:
        click.echo(f"{len(chosen_letters)} letters would be discarded.")
        return
    if not yes:
        click.confirm("Neither the partner nor the warehouse gets what is in these letters. Go on?", abort=True)
    done = record_discard(settings, chosen_letters, topic_id, who(), why)
    click.echo(f"{len(done)} letters are discarded.")
    if len(done) < len(chosen_letters):
        click.echo(
            f"{len(chosen_letters) - len(done)} were redriven or discarded by somebody meanwhile, and stay as they are."
        )


def _chosen(options: dict[str, Any], states: Collection[DeadLetterState]) -> Chosen:
    """Return which letters are meant. Raises click.UsageError when nothing says which."""
    everything = options.pop("everything")
    if not everything and not any(options.values()):
        raise click.UsageError("Say which letters: addresses, filters, or --all.")
    return Chosen(**options, states=states)
