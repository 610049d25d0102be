"""Discards dead letters: nobody needs them any more."""

from collections.abc import Sequence

from engagement_platform.adapters.platform.dead_letters import open_actions
from engagement_platform.domain.dead_letters import Letter
from engagement_platform.settings import Settings


def discard(settings: Settings, letters: Sequence[Letter], topic_id: str, who: str, why: str) -> list[Letter]:
    """Note that nobody needs these letters any more; they stay in the topic. Raises Unavailable, EngagementError.

    Returns those that were discarded: not what somebody has acted on since the letters were read.
    """
    with open_actions(settings, topic_id, alone=True) as actions:
        present = actions.all()
        unchanged = [letter for letter in letters if list(present.get(letter.address, ())) == list(letter.actions)]
        if unchanged:
            actions.discard(unchanged, who, why)
    return unchanged
