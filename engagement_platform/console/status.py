"""engagement-platform status: who streams, how each loop stands, what is paused, how many letters are open."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.platform.standing import loops_of
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.leases import Board
from engagement_platform.domain.letters import Chosen, State
from engagement_platform.domain.pauses import Pause
from engagement_platform.domain.standing import LoopStanding, lease_in_words, loop_in_words
from engagement_platform.history.letters import letters_of
from engagement_platform.orchestration.stream_job import LOOPS
from engagement_platform.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Status:
    """All that is shown."""

    board: Board
    loops: Mapping[str, LoopStanding]
    pauses: Mapping[str, Pause]
    letters: Mapping[State, int] | str
    """How many letters are in each state, or why that is not known."""


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(form: str) -> None:
    """Show who streams, how each loop stands, what is paused, and how many dead letters are open."""
    found = read(load())
    if form == "json":
        click.echo(json.dumps(_as_object(found), ensure_ascii=False))
        return
    click.echo(lease_in_words(found.board))
    Console().print(_table(found))
    click.echo(f"Dead letters: {_letters_in_words(found.letters)}")


def read(settings: Settings) -> Status:
    """Read everything. Raises Unavailable without the platform database; Kafka may be away."""
    ensure_schema(settings)
    with closing(Leases(settings, "status")) as leases:
        board = leases.board()
    with closing(Pauses(settings, "status")) as pauses:
        present = pauses.present()
    loops = loops_of(settings, board.lease.run_id) if board.lease else {}
    return Status(board, loops, present, _letters(settings))


def _letters(settings: Settings) -> Mapping[State, int] | str:
    try:
        with letters_of(settings) as letters:
            return Counter(letter.state for letter in letters.chosen(Chosen()))
    except EngagementError as error:
        return str(error)


def _letters_in_words(letters: Mapping[State, int] | str) -> str:
    if isinstance(letters, str):
        return f"not known. {letters}"
    return ", ".join(f"{letters.get(state, 0)} {state.value}" for state in State)


def _table(found: Status) -> Table:
    table = Table("loop")
    for name in ("heartbeat", "events", "lag", "p50", "p99"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for loop in LOOPS:
        standing = found.loops.get(loop)
        # As a text, for what a server answered may stand in it, and brackets are no markup.
        words = Text(loop_in_words(standing, found.pauses.get(loop)))
        table.add_row(loop, *(["-"] * 5 if standing is None else _figures(standing)), words)
    return table


def _figures(standing: LoopStanding) -> list[str]:
    progress = standing.progress
    counts = [f"{progress.get(name, 0):,}" for name in ("events", "lag")]
    latencies = [standing.latency(name) for name in ("p50", "p99")]
    shown = ["-" if value is None else f"{value:,.0f} ms" for value in latencies]
    return [f"{standing.silent_seconds:.0f} s ago", *counts, *shown]


def _as_object(found: Status) -> dict[str, Any]:
    """Return the status for JSON; times in RFC 3339."""
    letters = found.letters
    told = {
        "lease": found.board.lease,
        "lease_in_words": lease_in_words(found.board),
        "loops": [
            {
                "loop": loop,
                "state": loop_in_words(found.loops.get(loop), found.pauses.get(loop)),
                "heartbeat": found.loops.get(loop),
                "pause": found.pauses.get(loop),
            }
            for loop in LOOPS
        ],
        "dead_letters": letters
        if isinstance(letters, str)
        else {state.value: letters.get(state, 0) for state in State},
    }
    shown: dict[str, Any] = msgspec.to_builtins(told)
    return shown
