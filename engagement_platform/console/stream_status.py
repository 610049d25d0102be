"""What `status` shows: whether all is well, who streams, how each loop stands, how many letters are open."""

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engagement_platform.adapters.platform.run_beats import AtWork
from engagement_platform.domain.conditions import Severity
from engagement_platform.domain.dead_letters import DeadLetterState
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.progress import EVENTS, to_object
from engagement_platform.domain.shard_status import ShardStatus
from engagement_platform.domain.status import LoopStatus, Summary, lease_in_words, loop_in_words
from engagement_platform.health.read import SILENT_SECONDS, Overview, Status
from engagement_platform.stream.registry import NAMES, loop_named

_COLOURS = {Severity.CRITICAL: "red", Severity.WARNING: "yellow"}


def show(present: Overview) -> None:
    """Print the status for people: of each stream a block, below a sentence on all of them where there are several."""
    if len(present.streams) > 1:
        _say(present.summary)
    for name, status in present.streams.items():
        heading = f"\n{name}: " if len(present.streams) > 1 else ""
        _say(present.summaries[name], heading)
        if isinstance(status, Status):
            _show(status)
    for run in present.runs:
        click.secho(run_in_words(run), fg="red" if run.silent_seconds > SILENT_SECONDS else None)


def _say(summary: Summary, heading: str = "") -> None:
    click.secho(heading + summary.sentence, fg="green" if summary.well else "red", bold=True)


def _show(status: Status) -> None:
    if status.is_divided:
        for shard in status.shards:
            click.secho(f"Shard {shard.index}: {lease_in_words(shard.snapshot)}", fg=None if shard.lives else "red")
    elif not status.summary.well and status.snapshot.lease is not None:
        click.echo(lease_in_words(status.snapshot))
    Console().print(_table(status))
    click.echo(f"Dead letters: {_letters_in_words(status.letters)}")
    for condition in status.conditions:
        click.secho(f"{condition.what} {condition.means}", fg=_COLOURS[condition.severity])
        click.echo(f"    What to do: {condition.todo}")


def run_in_words(run: AtWork) -> str:
    """Say what a run of the warehouse does, and what becomes of one that is silent."""
    what = f"Run {run.run_id} ({', '.join(filter(None, (run.job, run.subject)))})"
    if run.silent_seconds <= SILENT_SECONDS:
        return f"{what} is at work since {run.begun_at:%Y-%m-%d %H:%M:%S} UTC."
    return (
        f"{what} has given no sign of life for {run.silent_seconds:.0f} s. When its process is dead, it is ended and "
        "launched again within two minutes, if Dagster's daemon runs."
    )


def _letters_in_words(letters: LetterCounts | str) -> str:
    if isinstance(letters, str):
        return f"not known. {letters}"
    return ", ".join(f"{letters.get(state, 0)} {state.value}" for state in DeadLetterState)


def _table(status: Status) -> Table:
    table = Table("loop")
    for name in ("heartbeat", "events", "lag", "p50", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for loop in NAMES:
        present = status.loops.get(loop)
        # As a text, for what a server answered may stand in it, and brackets are no markup.
        words = Text(loop_in_words(present, status.pauses.get(loop)))
        table.add_row(loop, *(["-"] * 5 if present is None else _figures(present)), words)
    return table


def _figures(status: LoopStatus) -> list[str]:
    lag = status.lag
    latencies = [status.latency(share) for share in (0.5, 0.99)]
    return [
        f"{status.silent_seconds:.0f} s ago",
        f"{status.figures.count(EVENTS):,}",
        "-" if lag is None else f"{lag:,}",
        *("-" if value is None else f"{1_000 * value:,.0f} ms" for value in latencies),
    ]


def as_object(present: Overview) -> dict[str, Any]:
    """Return the status for JSON; times in RFC 3339, but `since` of a loop's state in seconds since 1970.

    Of one stream it is that stream's object; of several, each has its own in `streams`.
    """
    summaries = present.summaries
    told = {name: {"summary": summaries[name], **_as_object(status)} for name, status in present.streams.items()}
    every = next(iter(told.values())) if len(told) == 1 else {"summary": present.summary, "streams": told}
    shown: dict[str, Any] = msgspec.to_builtins({**every, "runs": present.runs})
    return shown


def _shard(shard: ShardStatus) -> dict[str, Any]:
    return {
        "shard": shard.index,
        "lease": shard.snapshot.lease,
        "lease_in_words": lease_in_words(shard.snapshot),
        "loops": list(shard.loops.values()),
    }


def _as_object(status: Status | EngagementError) -> dict[str, Any]:
    if isinstance(status, EngagementError):
        return {}
    letters = status.letters
    return {
        "lease": status.snapshot.lease,
        "lease_in_words": lease_in_words(status.snapshot),
        **({"shards": [_shard(one) for one in status.shards]} if status.is_divided else {}),
        "conditions": status.conditions,
        "loops": [
            {
                "loop": loop,
                "state": loop_in_words(status.loops.get(loop), status.pauses.get(loop)),
                "heartbeat": status.loops.get(loop),
                "pause": status.pauses.get(loop),
            }
            for loop in NAMES
        ],
        "dead_letters": letters
        if isinstance(letters, str)
        else {state.value: letters.get(state, 0) for state in DeadLetterState},
        "totals": [
            {"loop": loop, "destination": loop_named(loop).destination, "progress": to_object(figures)}
            for loop, figures in status.totals.items()
            if loop in NAMES
        ],
    }
