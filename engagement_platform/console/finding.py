"""What was looked at, and what to do where it is not as it should be."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A `note` works but could be better; a `fault` keeps the platform from working."""

    level: Level
    what: str
    todo: str = ""
