"""What `status` shows: whether all is well, who streams, how each loop stands, how many letters are open."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loops_of, totals
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.platform.run_beats import AtWork, RunBeats
from engagement_platform.adapters.streams import settings_of_location
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.domain.dead_letters import Chosen, DeadLetterState
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.progress import EVENTS, Figures, to_object
from engagement_platform.domain.status import LoopStatus, Summary, lease_in_words, loop_in_words, sum_up, summarize
from engagement_platform.settings import Settings, about
from engagement_platform.stream.registry import NAMES, loop_named

SILENT_SECONDS = 20.0
"""A run of the warehouse that gives no sign of life for this long may be dead: four heartbeats are missing."""


@dataclass(frozen=True, slots=True)
class Status:
    """All that is shown."""

    snapshot: LeaseSnapshot
    loops: Mapping[str, LoopStatus]
    pauses: Mapping[str, Pause]
    letters: Mapping[DeadLetterState, int] | str
    """How many letters are in each state, or why that is not known."""
    totals: Mapping[str, Figures] = field(default_factory=dict)
    """What each loop has done over all hand-overs."""

    @property
    def summary(self) -> Summary:
        """The sentence that comes first."""
        return summarize(self.snapshot, self.loops, self.pauses, NAMES)


@dataclass(frozen=True, slots=True)
class Overview:
    """The streams that were asked for."""

    streams: Mapping[str, Status | EngagementError]
    """Name -> how it stands, or why that cannot be read."""
    runs: Sequence[AtWork]
    """The runs that rebuild, compare or sum up days at this moment, of whichever stream."""

    @property
    def summaries(self) -> Mapping[str, Summary]:
        """The sentence of each stream."""
        return {
            name: Summary(well=False, sentence=str(status)) if isinstance(status, EngagementError) else status.summary
            for name, status in self.streams.items()
        }

    @property
    def summary(self) -> Summary:
        """The sentence that comes first."""
        return sum_up(self.summaries)


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
    if not status.summary.well and status.snapshot.lease is not None:
        click.echo(lease_in_words(status.snapshot))
    Console().print(_table(status))
    click.echo(f"Dead letters: {_letters_in_words(status.letters)}")


def read_each(streams: Mapping[str, Settings | EngagementError]) -> Overview:
    """Read everything. Kafka may be away. Raises EngagementError when the only stream cannot be read."""
    read: dict[str, Status | EngagementError] = {}
    for name, settings in streams.items():
        try:
            if isinstance(settings, EngagementError):
                raise settings
            with about(name):
                read[name] = _read(settings)
        except EngagementError as error:
            if len(streams) == 1:
                raise
            read[name] = error
    return Overview(read, _runs())


def _read(settings: Settings) -> Status:
    ensure_schema(settings)
    with Session(settings, "status") as session:
        snapshot = Leases(session).snapshot()
        pauses = Pauses(session).present()
        loops = loops_of(session, snapshot.lease.run_id) if snapshot.lease else {}
        sums = totals(session)
    return Status(snapshot, loops, pauses, _letters(settings), sums)


def _runs() -> Sequence[AtWork]:
    """Return the runs at work; none where nobody can tell."""
    try:
        with RunBeats.opened(settings_of_location(), "status") as beats:
            return beats.at_work()
    except EngagementError:  # each stream's block says it
        return ()


def run_in_words(run: AtWork) -> str:
    """Say what a run of the warehouse does, and what becomes of one that is silent."""
    what = f"Run {run.run_id} ({', '.join(filter(None, (run.job, run.subject)))})"
    if run.silent_seconds <= SILENT_SECONDS:
        return f"{what} is at work since {run.begun_at:%Y-%m-%d %H:%M:%S} UTC."
    return (
        f"{what} has given no sign of life for {run.silent_seconds:.0f} s. When its process is dead, it is ended and "
        "launched again within two minutes, if Dagster's daemon runs."
    )


def _letters(settings: Settings) -> Mapping[DeadLetterState, int] | str:
    try:
        with dead_letters_of(settings) as letters:
            return Counter(letter.state for letter in letters.chosen(Chosen()))
    except EngagementError as error:
        return str(error)


def _letters_in_words(letters: Mapping[DeadLetterState, int] | str) -> str:
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


def _as_object(status: Status | EngagementError) -> dict[str, Any]:
    if isinstance(status, EngagementError):
        return {}
    letters = status.letters
    return {
        "lease": status.snapshot.lease,
        "lease_in_words": lease_in_words(status.snapshot),
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
