"""Which loops an operator may pause, and what is said of a pause."""

from dataclasses import dataclass
from datetime import UTC, datetime

PAUSABLE = ("forward", "stage", "tally")
"""The sinks. The relay is not among them: Kafka is the buffer of all others, and the source's ids age while nobody
looks at them. Whoever wants it to rest ends the stream."""


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
