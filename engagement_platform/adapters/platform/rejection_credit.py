"""What each loop may still give up: so that the limit of rejections holds over leases and drains."""

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.rejections import FIRST

_SQL = sql.load(__package__, "rejection_credit.sql")


class RejectionCredit(Store):
    """The table of credits, counted in accepted messages. Operations raise Unavailable."""

    def left(self, loop: str) -> int:
        """Return what a loop has left."""
        row = self.session.one(_SQL["left"], loop=loop)
        return FIRST.credit if row is None else int(row["credit"])

    def change(self, loop: str, by: int) -> None:
        """Add to what a loop has left, or take from it; two processes of a hand-over may both do so."""
        self.session.execute(_SQL["change"], loop=loop, change=by, first=FIRST.credit, most=FIRST.max_credit)
