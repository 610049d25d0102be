"""What a stream's days are compared by, beyond ids and days, as `[checks]` of `stream.toml` says."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Joined:
    """An event that names a row of another table has that row's columns."""

    column: str
    """The column that names the row."""
    brings: str
    """A column that the row brings and that is never null there."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What is checked of a stream only because its folder says so."""

    unit: str | None = None
    """What the first sum of the views counts, in words; without it, the measure's name."""
    joined: Mapping[str, Joined] = field(default_factory=dict)
    """Name of what is joined -> how that is seen."""
    known_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> the texts that are expected in it. Others are carried all the same, and said."""
