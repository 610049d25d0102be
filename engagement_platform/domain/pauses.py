"""What is said of a pause."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A loop that stands still because an operator wants it to."""

    loop: str
    since: datetime
    who: str
    why: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        return f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {self.who}{because}"
