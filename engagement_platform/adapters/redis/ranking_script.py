"""A ranking and how fresh it is, as one script answers: one moment of the views, whoever reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

SCRIPT = "ranking"

MOST_MEMBERS = 1_000
"""In one reading: more would block the server for others."""

Shown = dict[str, Any]
"""What to show for a member: column -> value, in the order of the dimension's `shown`."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One member of a ranking."""

    member: str
    value: int
    """What the measure that was asked for adds up to."""
    shown: Shown | None = None
    """None for `(none)`, and in a dimension without columns to show."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The members with the highest sums, and how fresh the view is. Times are ms since 1970, by Redis' clock."""

    now_ms: int
    is_counted: bool
    """Whether the views of this generation count what was asked for."""
    members: Sequence[Ranked] = ()
    as_of_ms: int | None = None
    """None while there are no views."""
    window_start_ms: int | None = None
    window_ms: int | None = None
    lag: int = 0
    """Messages known to wait in Kafka at `as_of`."""
    generation: str | None = None

    @property
    def age_ms(self) -> int | None:
        """How old `as_of` is; None while there are no views."""
        return None if self.as_of_ms is None else max(0, self.now_ms - self.as_of_ms)


def arguments(dimension: str, measure: str, n: int) -> tuple[str, str, str]:
    """Return what the script is to be told."""
    return dimension, measure, str(min(n, MOST_MEMBERS))


def ranking_of(answer: Any) -> Ranking:
    """Return what the script has answered."""
    (as_of, window_start, window, lag, generation), now, is_counted, best, shown = answer
    texts = cast("list[str | None]", shown or [None] * (len(best) // 2))
    return Ranking(
        now_ms=int(now),
        is_counted=bool(is_counted),
        members=[
            Ranked(member, int(float(score)), None if text is None else read_shown(text))
            for member, score, text in zip(best[::2], best[1::2], texts, strict=True)
        ],
        as_of_ms=_int(as_of),
        window_start_ms=_int(window_start),
        window_ms=_int(window),
        lag=_int(lag) or 0,
        generation=generation,
    )


def read_shown(text: str) -> Shown:
    """Return what to show for a member from how it is kept."""
    return cast("Shown", msgspec.json.decode(text))


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
