"""What becomes of a transaction of the relay of which Kafka has lost the end: it is committed, or aborted.

Kafka had decided that, and told it to some of its partitions or to none. All of them must get the same end, and what
anybody has been told, or has seen, must stay: see docs/decisions/0025.
"""

from collections.abc import Collection

from engagement_platform.domain.checkpoint import RESET, Checkpoint
from engagement_platform.domain.coverage import coverage_of
from engagement_platform.domain.errors import StreamStopped


def covers(checkpoint: Checkpoint | None, event_id: int) -> bool:
    """Say whether an event was published, by a checkpoint. None is that of a relay that never began."""
    return checkpoint is not None and coverage_of(checkpoint).covers(event_id)


def is_known(opened: Checkpoint, committed: Checkpoint | None, told: Checkpoint | None, seen: Collection[int]) -> bool:
    """Say whether a checkpoint that was left open has to stay.

    `committed` is the one before it; `told` is the mirror's, which is written when a commit was confirmed; `seen` are
    ids of events that can be read, and that a poll has published which began with the last one of the opened checkpoint
    or later: what is of its transaction is among them.
    """
    if told is not None and (told == opened or told.position > opened.position):
        return True
    return any(covers(opened, one) and not covers(committed, one) for one in seen)


def is_published(where: str, event_ids: Collection[int], holding: Checkpoint | None) -> bool:
    """Say whether events that were left open have to stay, by the checkpoint from which the relay goes on.

    Those that it covers are not published again; all others are. Raises StreamStopped where some are and some are not.
    """
    coverage = None if holding is None else coverage_of(holding)
    answers = {coverage is not None and coverage.covers(one) for one in event_ids}
    if len(answers) > 1:
        raise StreamStopped(
            f"{where} holds events of two transactions whose end Kafka has lost, or of one in whose midst the relay was"
            " reset: some of them are published again, and some are not. They can only get the same end.",
            f"Start anew with: {RESET}. Then rebuild the days in question.",
        )
    return answers == {True}
