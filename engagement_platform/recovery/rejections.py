"""What an operator does when a loop stands still because of what it, or the partner, rejects: let it give that up."""

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.platform.decisions import Decisions, subject_of
from engagement_platform.domain.checkpoint import open_ids
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import loop_named


def waiting(settings: Settings, loop: str) -> int:
    """Return how many messages a loop may have to give up. Raises EngagementError.

    For the relay also the ids below those that it has published: a late transaction brings its rows there.
    """
    events = loop_named(loop).imported().backlog(settings)
    if loop != "relay":
        return events
    with open_checkpoints(settings) as checkpoints:
        last = checkpoints.last()
    return events + (open_ids(last) if last else 0)


def give_up(settings: Settings, loop: str, messages: int, who: str) -> None:
    """Let a loop give up to so many messages up that are rejected. Raises Unavailable."""
    with Decisions.opened(settings, "give-up") as decisions:
        decisions.decide(subject_of(settings, loop), messages, who)
