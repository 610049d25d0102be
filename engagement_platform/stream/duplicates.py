"""Tells of messages that a loop has left out because their publisher had published them before."""

import logging

from engagement_platform.domain.progress import DUPLICATES
from engagement_platform.stream.progress import Progress


def note_duplicates(progress: Progress, number: int, log: logging.Logger) -> None:
    """Count them, and tell of the first of a run."""
    if number and not progress.figures().count(DUPLICATES):
        log.warning(
            "%d messages came again, as from a publisher that publishes at least once. They are left out, as are any"
            " further ones; the figure `duplicates` counts them.",
            number,
        )
    progress.count(DUPLICATES, number)
