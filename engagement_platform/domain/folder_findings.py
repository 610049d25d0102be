"""What is found in a stream's folder: where, how bad, and what to do."""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad something is."""

    WARNING = 1
    """It works, and somebody should look at it."""
    FAULT = 2
    """The stream would not start, or not be exact."""


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """One thing that is not as it should be."""

    level: Level
    what: str
    todo: str = ""
    file: str = ""
    """Within the folder; empty for what lies at the source."""
    line: int | None = None

    @property
    def where(self) -> str:
        """Say where it is, for people."""
        return f"{self.file or 'source'}{'' if self.line is None else f', line {self.line}'}"
