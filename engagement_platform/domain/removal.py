"""When a rebuild would take more of a day away than updates and deletes of the source usually do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from engagement_platform.domain.errors import EngagementError

TAG = "engagement/allow_removal"
"""A run or backfill of Dagster with this tag, whatever its value but false, may take any number of rows away."""

_FEW = 10
_PART = 10


def takes_too_much(rows: int, gone: int) -> bool:
    """Say whether taking `gone` of `rows` rows away needs to be told.

    It does for all of them, for half of them but a single row, and for over a tenth and over ten of them.
    """
    return 0 < gone == rows or (gone > 1 and 2 * gone >= rows) or (gone > _FEW and _PART * gone > rows)


def is_allowed(tag: str | None) -> bool:
    """Say whether the value of a run's tag allows it."""
    return tag is not None and tag.strip().lower() not in ("false", "no", "0")


@dataclass(frozen=True, slots=True)
class Removal:
    """What a rebuild would take away from a day."""

    day: date
    rows: int
    """Of the day in the warehouse."""
    gone: int
    """Those among them that the source does not have on that day."""
    source_rows: int

    def __str__(self) -> str:
        """Say it for people."""
        return (
            f"{self.day}: {self.gone} of the {self.rows} rows in the warehouse, for the source has {self.source_rows}"
            " of that day"
        )


class RemovalRefused(EngagementError):
    """A rebuild would take a large part of a day's rows away, and was not told to. The day is as it was."""

    def __init__(self, removals: Sequence[Removal]) -> None:
        self.removals = tuple(removals)
        first, last = removals[0].day, removals[-1].day
        super().__init__(
            f"The rebuild would take a large part of a day away: {'; '.join(map(str, removals))}. Such days are as they"
            " were.",
            "See why the source has fewer rows: old ones that its owner has deleted (then leave the day as it is; "
            "where it is noted as due: engagement-platform warehouse not-due DAY), "
            "row security, a table that was emptied, replaced or restored. If the rows are to go: engagement-platform "
            f"backfill --since {first} --until {last}T23:59:59 --allow-removal; in Dagster's UI give the run, or the "
            f"backfill, the tag {TAG}: true.",
        )
