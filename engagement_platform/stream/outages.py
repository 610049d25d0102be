"""Outlasting broken connections with what a loop has in hand.

An attempt of the supervisor connects anew and begins from what is stored. A connection that breaks every few seconds
would make that a loop without progress: so failures are outlasted in place, and only those that last are left to it.
"""

import time

from engagement_platform.domain.errors import Unavailable
from engagement_platform.stream.supervisor import Supervision

OUTLAST_SECONDS = 30.0
"""For how long failures in a row are outlasted with the clients that there are."""


class Outlasting:
    """The failures in a row of one attempt. After one, the loop finds out where it stands before it goes on."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._since: float | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the last step failed."""
        return self._since is not None

    def failed(self, error: Unavailable) -> None:
        """Wait before the next step. Raises the error when failures have lasted for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif now - self._since > OUTLAST_SECONDS:
            raise error
        self._supervision.control.wait(self._supervision.failed(error))

    def worked(self) -> None:
        """Note that a step worked."""
        self._since = None
