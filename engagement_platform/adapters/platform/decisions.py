"""What operators have decided to let a loop give up: so many messages, within the hour.

A decision is taken up once, by the loop that stands still at the time; what it has not used it gives back.
"""

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "decisions.sql")


def subject_of(settings: Settings, loop: str) -> str:
    """Return what decisions about a loop are kept under: forward may have one group after the other."""
    return settings.topics.forward_group if loop == "forward" else loop


class Decisions(Store):
    """The table of decisions. Operations raise Unavailable."""

    def decide(self, subject: str, events: int, who: str) -> None:
        """Let a loop give up so many messages that it, or the partner, rejects."""
        self.session.execute(_SQL["decide"], subject=subject, events=events, who=who)

    def take(self, subject: str) -> int:
        """Return how many messages may be given up by the decisions that nobody has taken up yet."""
        return sum(row["events"] for row in self.session.all(_SQL["take"], subject=subject))

    def give_back(self, subject: str, events: int) -> None:
        """Leave to the next run what is not used up of the last decision."""
        self.session.execute(_SQL["give_back"], subject=subject, events=events)
