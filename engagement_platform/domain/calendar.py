"""The calendar of the warehouse: what state each of its days is in, and why.

Facts come in, frozen, one set for each day; nothing here reads a clock or a server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from engagement_platform.domain.days import ONE_DAY, bounds
from engagement_platform.domain.reconciliation import Findings


class DayState(StrEnum):
    """How a day of the warehouse stands; the first that is true."""

    REBUILDING = "rebuilding"
    """A rebuild is under way."""
    FAILED = "failed_check"
    """The last comparison found that the day differs from the source, and it was not rebuilt since."""
    STALE = "stale"
    """It has to be rebuilt: something was noted, or another formula than that of now has made it."""
    REBUILT = "rebuilt"
    """It was rebuilt from the source after it had ended."""
    LIVE = "live"
    """The stream has filled it; nobody has settled it since."""
    NEVER = "never"
    """Nothing was ever brought to it."""
    UNKNOWN = "not_known"
    """The warehouse cannot be read, and nothing else tells of the day."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The last comparison of a day with the source."""

    run_id: str
    at: datetime
    source_rows: int
    table_rows: int
    faults: Mapping[str, int] = field(default_factory=dict)
    """Kind of difference that a rebuild would mend -> number of events. Empty: the day is equal."""
    warnings: Mapping[str, int] = field(default_factory=dict)
    """The same of what a rebuild would not mend: events on their way, dead letters, values that no row can hold."""


@dataclass(frozen=True, slots=True)
class RebuiltBy:
    """The latest rebuild of a day."""

    run_id: str
    opened_at: datetime
    at: datetime
    """When it was done; of one that is under way, its last sign of life."""
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class LoadedBy:
    """The loads of the stream that brought rows to a day, as far as they are still noted."""

    load_id: str
    """The latest."""
    at: datetime
    loads: int


@dataclass(frozen=True, slots=True)
class DayFacts:
    """What is known of a day."""

    rows: int | None = None
    """In the warehouse; None where that cannot be read."""
    rebuilt: RebuiltBy | None = None
    under_way: RebuiltBy | None = None
    loaded: LoadedBy | None = None
    compared: Compared | None = None
    due: str | None = None
    """Why it has to be rebuilt."""
    by_old_formula: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the calendar."""

    day: date
    state: DayState
    facts: DayFacts

    @property
    def difference(self) -> int | None:
        """Rows that the warehouse has more than the source, by the last comparison; None where nobody has compared."""
        compared = self.facts.compared
        return None if compared is None else compared.table_rows - compared.source_rows


def state_of(day: date, facts: DayFacts) -> DayState:
    """Return how a day stands."""
    if facts.under_way is not None:
        return DayState.REBUILDING
    if facts.compared is not None and facts.compared.faults and not _is_later(facts.rebuilt, facts.compared):
        return DayState.FAILED
    if facts.due is not None or facts.by_old_formula:
        return DayState.STALE
    if facts.rebuilt is not None and facts.rebuilt.opened_at >= bounds(day)[1]:
        return DayState.REBUILT
    if facts.rebuilt is not None or facts.loaded is not None or facts.rows:
        return DayState.LIVE
    return DayState.UNKNOWN if facts.rows is None else DayState.NEVER


def _is_later(rebuilt: RebuiltBy | None, compared: Compared) -> bool:
    return rebuilt is not None and rebuilt.at > compared.at


def calendar(facts: Mapping[date, DayFacts], first: date, last: date, nothing: DayFacts) -> list[Day]:
    """Return the days from `first` to `last`, ascending; `nothing` are the facts of a day of which nothing is known."""
    known = {day: facts.get(day, nothing) for day in _days(first, last)}
    return [Day(day, state_of(day, each), each) for day, each in known.items()]


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += ONE_DAY


def month_of(text: str) -> tuple[date, date]:
    """Return the first and the last day of a month such as 2026-03. Raises ValueError for what is none."""
    year, _, month = text.partition("-")
    digits = year + month
    if len(year) != 4 or len(month) != 2 or not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"{text!r} is no month")
    first = date(int(year), int(month), 1)
    if first.year == date.max.year and first.month == 12:
        return first, date.max
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return first, following - ONE_DAY


def faults_of(findings: Findings) -> dict[str, int]:
    """Return kind of difference that a rebuild mends -> number of events, of those that there are."""
    return _counted(findings, "missing", "surplus", "moved", "doubled", "different", "changed")


def warnings_of(findings: Findings) -> dict[str, int]:
    """Return the same of what a rebuild does not mend."""
    unjoined = sum(ids.count for ids in findings.unjoined.values())
    others = {"unjoined": unjoined, "dead_letters": findings.dead_letters}
    return _counted(findings, "awaited", "unfit") | {kind: count for kind, count in others.items() if count}


def _counted(findings: Findings, *kinds: str) -> dict[str, int]:
    counts = {kind: getattr(findings, kind).count for kind in kinds}
    return {kind: count for kind, count in counts.items() if count}
