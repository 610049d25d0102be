"""The live view of the demo, and its lines of progress where there is no terminal. Reads nothing by itself."""

import unicodedata
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engagement_platform.adapters.redis.ranking_script import Ranked
from engagement_platform.domain.loop_state import clock, in_short
from engagement_platform.domain.status import LoopStatus, loop_in_words
from engagement_platform.local.demo.figures import Figures
from engagement_platform.local.demo.visibility import Quantiles, Sighting

_RATE_SECONDS = 5
_LRM, _FSI, _PDI = "\u200e", "\u2068", "\u2069"


class Totals(NamedTuple):
    """Events since the start, or events a second: at the source and in each sink."""

    source: float = 0
    kafka: float = 0
    redis: float = 0
    partner: float = 0
    warehouse: float = 0


class Meter:
    """Turns totals into rates over the last few seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Totals]] = deque()

    def rates(self, at: float, totals: Totals) -> Totals:
        """Return the events a second, given the totals at a time in seconds."""
        self._readings.append((at, totals))
        while len(self._readings) > 2 and at - self._readings[0][0] > _RATE_SECONDS:
            self._readings.popleft()
        began, first = self._readings[0]
        elapsed = at - began
        if elapsed <= 0:
            return Totals()
        return Totals(*((now - then) / elapsed for now, then in zip(totals, first, strict=True)))


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown."""

    seconds: float
    """Since the first event."""
    figures: Figures
    seen: Sighting
    totals: Totals
    rates: Totals
    page_url: str
    dagster_url: str

    @property
    def hand_overs(self) -> int:
        """How often a run took over from another."""
        return max(self.figures.epochs - 1, 0)


def line(view: View) -> str:
    """Return one line of progress."""
    minute, rates = view.seen.last_minute_ms, view.rates
    return (
        f"{duration(view.seconds)} | PostgreSQL {view.figures.source_rows:,} ({rates.source:,.0f}/s)"
        f" | Kafka {view.seen.in_kafka:,} ({rates.kafka:,.0f}/s)"
        f" | Redis {view.seen.in_redis:,} ({rates.redis:,.0f}/s, {view.seen.waiting:,} waiting)"
        f" | partner {view.totals.partner:,.0f} ({rates.partner:,.0f}/s)"
        f" | warehouse {view.totals.warehouse:,.0f} ({rates.warehouse:,.0f}/s)"
        f" | commit to Redis p50 {_ms(minute.p50)}, p99 {_ms(minute.p99)} | hand-overs {view.hand_overs}"
        + "".join(f" | {said}" for said in standstills(view.figures))
    )


def standstills(figures: Figures) -> list[str]:
    """Say what is away or stands still, since when, and how it comes back."""
    return [
        *(
            f"{name} does not answer since {clock(since)}: `engagement-platform up` in another terminal starts what is "
            "missing, and leaves the rest alone"
            for name, since in figures.away.items()
        ),
        *([figures.summary.sentence] if figures.summary and not figures.summary.well else []),
    ]


def screen(view: View) -> RenderableType:
    """Return the whole view."""
    broken = standstills(view.figures)
    return Group(
        Text.assemble(
            ("engagement platform", "bold"), f"  {duration(view.seconds)}    ",
            (view.page_url, f"link {view.page_url} underline"),
        ),
        *([Text(said, style="bold red") for said in broken] or [Text("All well.", style="green")]),
        _flow(view),
        Text.assemble(
            ("Commit to Redis  ", "bold"), _latency("last minute", view.seen.last_minute_ms),
            "    ", _latency("since the start", view.seen.latency_ms),
        ),
        Text(""),
        _top(view.figures.top),
        Text.assemble(
            f"Hand-overs: {view.hand_overs}    Views as of: {_age(view.figures.as_of_age_ms)}    Dagster: ",
            (view.dagster_url, f"link {view.dagster_url} underline"),
        ),
        Text("Ctrl-C stops everything; `make demo` goes on from there.", style="dim"),
    )  # fmt: skip


def _flow(view: View) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2))
    table.add_column("")
    for name in ("events/s", "since the start", "waiting"):
        table.add_column(name, justify="right", min_width=9, no_wrap=True)
    table.add_column("state", overflow="fold")
    seen, loops = view.seen, view.figures.loops
    rows = (
        ("PostgreSQL", None, None),
        ("Kafka", "relay", seen.unpublished),
        ("Redis", "tally", seen.waiting),
        ("partner", "forward", _lag(loops.get("forward"))),
        ("warehouse", "stage", _lag(loops.get("stage"))),
    )
    for (name, loop, waiting), rate, total in zip(rows, view.rates, view.totals, strict=True):
        state = Text("") if loop is None else _state(view.figures, loop)
        table.add_row(name, f"{rate:,.0f}", f"{total:,.0f}", "" if loop is None else _count(waiting), state)
    table.caption = f"{view.figures.source_rows:,} rows in PostgreSQL"
    return table


def _state(figures: Figures, loop: str) -> Text:
    status, pause = figures.loops.get(loop), figures.pauses.get(loop)
    state = None if status is None else status.state
    if pause is not None:
        return Text(loop_in_words(status, pause), style="yellow")
    well = state is not None and state.is_healthy and not (status and status.is_silent)
    words = loop_in_words(status, None) if well or state is None else in_short(state)
    return Text(words, style="green" if well else "red")


def _lag(status: LoopStatus | None) -> int | None:
    return None if status is None else status.lag


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _top(ranked: tuple[Ranked, ...]) -> Table:
    """Return the ranking. The title stands last: where a terminal reorders Arabic, nothing behind it moves."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2), title="Most engagement in the window", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("time", justify="right", min_width=9)
    table.add_column("kind", min_width=8)
    table.add_column("title", no_wrap=True, overflow="ellipsis", max_width=60)
    for rank, item in enumerate(ranked, 1):
        shown = item.shown or {}
        kind, title = shown.get("content_type") or "", shown.get("title") or item.member
        table.add_row(str(rank), duration(item.value / 1000), kind, isolated(title))
    return table


def isolated(title: str) -> str:
    """Return a title that neither turns the line's direction around nor moves the cursor."""
    harmless = "".join(
        c for c in title if c == "\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
    return f"{_LRM}{_FSI}{harmless}{_PDI}{_LRM}"


def _latency(name: str, quantiles: Quantiles) -> str:
    return f"{name}: p50 {_ms(quantiles.p50)}, p99 {_ms(quantiles.p99)}"


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:,.0f} ms"


def _age(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{max(milliseconds, 0) / 1000:.1f} s ago"


def duration(seconds: float) -> str:
    """Return a span as hours, minutes and seconds, however long it is: 32:07:40."""
    whole = int(max(seconds, 0))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
