"""What an operator does when a loop stands still because of what it, or the partner, rejects: let it give that up."""

from engagement_platform.adapters.platform.decisions import Decisions, subject_of
from engagement_platform.settings import Settings


def give_up(settings: Settings, loop: str, messages: int, who: str) -> None:
    """Let a loop give up to so many messages up that are rejected. Raises Unavailable."""
    with Decisions.opened(settings, "give-up") as decisions:
        decisions.decide(subject_of(settings, loop), messages, who)
