"""The live view of the demo, and its lines of progress where there is no terminal. Reads nothing by itself."""

import time
import unicodedata
from collections import deque
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engagement_platform.adapters.redis.views import Ranked
from engagement_platform.local.demo.figures import Figures
from engagement_platform.local.demo.sightings import Quantiles, Sighting

_RATE_SECONDS = 5
_LRM, _FSI, _PDI = "\u200e", "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Rates:
    """Events a second, over the last few seconds."""

    source: float = 0
    kafka: float = 0
    redis: float = 0


class Meter:
    """Turns totals into rates."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int, int, int]] = deque()

    def rates(self, at: float, source: int, kafka: int, redis: int) -> Rates:
        """Return the rates, given the totals at a time in seconds."""
        self._readings.append((at, source, kafka, redis))
        while len(self._readings) > 2 and at - self._readings[0][0] > _RATE_SECONDS:
            self._readings.popleft()
        began, *first = self._readings[0]
        elapsed = at - began
        if elapsed <= 0:
            return Rates()
        return Rates(*((now - then) / elapsed for now, then in zip((source, kafka, redis), first, strict=True)))


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown."""

    seconds: float
    """Since the first event."""
    figures: Figures
    seen: Sighting
    rates: Rates
    dagster_url: str
    phase: str = ""

    @property
    def hand_overs(self) -> int:
        """How often a run took over from another."""
        return max(self.figures.epochs - 1, 0)


def line(view: View) -> str:
    """Return one line of progress."""
    minute = view.seen.last_minute_ms
    return (
        f"{view.seconds:6.0f} s | PostgreSQL {view.figures.source_rows:,} ({view.rates.source:,.0f}/s)"
        f" | Kafka {view.seen.in_kafka:,} ({view.rates.kafka:,.0f}/s)"
        f" | Redis {view.seen.in_redis:,} ({view.rates.redis:,.0f}/s, {view.seen.waiting:,} waiting)"
        f" | commit to Redis p50 {_ms(minute.p50)}, p99 {_ms(minute.p99)} | hand-overs {view.hand_overs}"
        + "".join(f" | {pause.loop} is paused" for pause in view.figures.pauses)
    )


def screen(view: View) -> RenderableType:
    """Return the whole view."""
    return Group(
        Text.assemble(("engagement platform", "bold"), f"  {view.phase or _clock(view.seconds)}"),
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
        *(Text(f"Paused: {pause.loop}, {pause}", style="yellow") for pause in view.figures.pauses),
        Text("Ctrl-C stops everything; `make demo` goes on from there.", style="dim"),
    )  # fmt: skip


def _flow(view: View) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2))
    table.add_column("")
    for name in ("events/s", "since the start", "behind the commits"):
        table.add_column(name, justify="right", min_width=12)
    table.add_row("PostgreSQL", f"{view.rates.source:,.0f}", f"{view.seen.noted:,}", "")
    table.add_row("Kafka", f"{view.rates.kafka:,.0f}", f"{view.seen.in_kafka:,}", f"{view.seen.unpublished:,}")
    table.add_row("Redis", f"{view.rates.redis:,.0f}", f"{view.seen.in_redis:,}", f"{view.seen.waiting:,}")
    table.caption = f"{view.figures.source_rows:,} rows in PostgreSQL"
    return table


def _top(ranked: tuple[Ranked, ...]) -> Table:
    """Return the ranking. The title stands last: where a terminal reorders Arabic, nothing behind it moves."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2), title="Most engagement in ten minutes", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("time", justify="right", min_width=9)
    table.add_column("kind", min_width=8)
    table.add_column("title", no_wrap=True, overflow="ellipsis", max_width=60)
    for place, each in enumerate(ranked, 1):
        kind = (each.shown.content_type if each.shown else None) or ""
        title = (each.shown.title if each.shown else None) or each.member
        table.add_row(str(place), _clock(each.value / 1000), kind, isolated(title))
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


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(max(seconds, 0))) if seconds < 86_400 else f"{seconds / 3600:,.0f} h"
