"""What a loop may give up: what operators have decided, within the hour, and what the limit of rejections leaves it.

A decision is taken up once, by the loop that stands still at the time; what it has not used it gives back.
"""

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.rejections import FIRST
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


class RejectionCredit(Store):
    """The table of credits, counted in accepted messages: so the limit holds over leases and drains."""

    def left(self, loop: str) -> int:
        """Return what a loop has left."""
        row = self.session.one(_SQL["left"], loop=loop)
        return FIRST.credit if row is None else int(row["credit"])

    def change(self, loop: str, by: int) -> None:
        """Add to what a loop has left, or take from it; two processes of a hand-over may both do so."""
        self.session.execute(_SQL["change"], loop=loop, change=by, first=FIRST.credit, most=FIRST.max_credit)
