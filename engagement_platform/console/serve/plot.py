"""Plots as SVG without a library: latency over an hour, with the promise drawn in. Pure.

The scale is logarithmic, so that 20 ms and a promise of 5 s stand in one picture. Time runs from left to right in every
language.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engagement_platform.console.serve.sampler import Point
from engagement_platform.console.serve.texts import Texts

WIDTH, HEIGHT = 340, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 4, 8, 20
_COLUMNS = 120
"""So many columns, each the worst of what falls into it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the grid, or the promise."""

    at: float
    """In the picture's units."""
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What the template draws."""

    median: str
    """Path of the medians."""
    high: str
    """Path of the 99th percentiles."""
    area: str
    """The area below them."""
    promise: Line | None
    levels: tuple[Line, ...]
    times: tuple[Line, ...]
    last_median: float | None
    last_high: float | None
    """Seconds."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def latency_plot(
    points: Sequence[Point], loop: str, promise: float | None, texts: Texts, *, end: float, span: float
) -> Plot:
    """Return the plot of a loop's latency over the last `span` seconds before `end`."""
    width = span / _COLUMNS
    last = math.floor(end / width)
    medians = _columns(((one.at, one.p50.get(loop)) for one in points), width, last)
    highs = _columns(((one.at, one.p99.get(loop)) for one in points), width, last)
    scale = _Scale.over([*medians.values(), *highs.values(), *([promise] if promise else [])])
    newest = points[-1] if points else None
    return Plot(
        median=_path(medians, scale, last),
        high=_path(highs, scale, last),
        area=_area(highs, scale, last),
        promise=None if promise is None else Line(scale.y(promise), texts.duration(promise)),
        levels=tuple(Line(scale.y(value), _tick(value)) for value in scale.decades()),
        times=tuple(_times(end, span, last, width)),
        last_median=newest.p50.get(loop) if newest else None,
        last_high=newest.p99.get(loop) if newest else None,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Powers of ten from bottom to top."""

    low: int
    high: int

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Scale":
        positive = [value for value in values if value > 0] or [0.001, 1.0]
        low = math.floor(math.log10(max(min(positive) * 0.99, 0.001)))
        return cls(low, max(low + 1, math.ceil(math.log10(max(positive) * 1.05))))

    def y(self, seconds: float) -> float:
        share = (math.log10(max(seconds, 10.0**self.low)) - self.low) / (self.high - self.low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP), 1)

    def decades(self) -> Iterator[float]:
        yield from (10.0**power for power in range(self.low, self.high + 1))


def _columns(values: Iterator[tuple[float, float | None]], width: float, last: int) -> Mapping[int, float]:
    """Return column -> the highest value in it; the columns stay where they are while time goes on."""
    columns: dict[int, float] = {}
    for at, value in values:
        column = math.floor(at / width)
        if value is not None and last - _COLUMNS < column <= last:
            columns[column] = max(value, columns.get(column, 0.0))
    return columns


def _x(column: int, last: int) -> float:
    share = (column - last + _COLUMNS - 1) / (_COLUMNS - 1)
    return round(_LEFT + share * (WIDTH - _RIGHT - _LEFT), 1)


def _runs(columns: Mapping[int, float]) -> Iterator[list[int]]:
    """Yield columns that follow each other: where nothing was measured there is no line."""
    run: list[int] = []
    for column in sorted(columns):
        if run and column != run[-1] + 1:
            yield run
            run = []
        run.append(column)
    if run:
        yield run


def _path(columns: Mapping[int, float], scale: _Scale, last: int) -> str:
    parts = []
    for run in _runs(columns):
        points = [f"{_x(column, last)},{scale.y(columns[column])}" for column in run]
        parts.append(f"M{points[0]}" + ("".join(f"L{point}" for point in points[1:]) or "h1.5"))
    return "".join(parts)


def _area(columns: Mapping[int, float], scale: _Scale, last: int) -> str:
    bottom, parts = HEIGHT - _BOTTOM, []
    for run in _runs(columns):
        points = "".join(f"L{_x(column, last)},{scale.y(columns[column])}" for column in run)
        parts.append(f"M{_x(run[0], last)},{bottom}{points}L{_x(run[-1], last)},{bottom}Z")
    return "".join(parts)


def _times(end: float, span: float, last: int, width: float) -> Iterator[Line]:
    """Yield times that are whole in minutes, three to five of them."""
    step = next(minutes * 60 for minutes in (2, 5, 10, 15, 30, 60) if span / (minutes * 60) <= 5)
    first = math.ceil((end - span) / step)
    for number in range(first, math.floor(end / step) + 1):
        at = number * step
        column = math.floor(at / width)
        if last - _COLUMNS + 6 < column < last - 7:
            yield Line(_x(column, last), _clock(at))


def _tick(seconds: float) -> str:
    """Return a power of ten as axes have it, alike in every language."""
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1_000:g} ms"


def _clock(at: float) -> str:
    """Return hours and minutes in UTC."""
    minutes = int(at // 60) % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"
