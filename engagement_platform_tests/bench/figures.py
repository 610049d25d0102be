"""What benchmarks report: figures, each beside its budget, and the table that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value. A value without a budget is there to be read beside others."""

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def budget(self) -> str:
        """The budget as text; empty without one."""
        if self.at_most is not None:
            return f"≤ {_text(self.at_most)}"
        return "" if self.at_least is None else f"≥ {_text(self.at_least)}"

    @property
    def verdict(self) -> str:
        """`ok` or `missed`; empty without a budget."""
        if not self.budget:
            return ""
        kept = (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )
        return "ok" if kept else "missed"


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return the figures as lines of aligned columns under a title."""
    rows = [(each.what, _text(each.value), each.unit, each.budget, each.verdict) for each in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join([title, *(_line(row, widths) for row in rows)]) + "\n"


def _line(row: tuple[str, ...], widths: Sequence[int]) -> str:
    what, value, unit, budget, verdict = (
        text.rjust(width) if column == 1 else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"  {what}  {value} {unit}  {budget}  {verdict}".rstrip()


def _text(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1_000 else f"{value:,.2f}"
