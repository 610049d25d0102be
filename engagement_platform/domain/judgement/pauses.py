"""Loops that somebody has paused."""

from collections.abc import Iterator

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.judgement.consequences import means
from engagement_platform.domain.judgement.standing import Standing


def paused(standing: Standing) -> Iterator[Condition]:
    """Yield a condition for each loop that is paused."""
    for loop in standing.expected:
        if (pause := standing.pauses.get(loop.name)) is None:
            continue
        waiting = standing.waiting([loop])
        why = f": {pause.why}" if pause.why else ""
        yield Condition(
            Kind.LOOP_PAUSED,
            Severity.WARNING,
            standing.stream,
            loop.name,
            pause.since.timestamp(),
            f"{loop.name.capitalize()} is paused by {pause.who}{why}.",
            means([loop], waiting, is_safe=True),
            f"When it may go on: engagement-platform resume {loop.name}",
            loops=(loop.name,),
            form="paused",
            values={
                "loops": loop.name,
                "who": pause.who,
                "why": pause.why,
                "waiting": "" if waiting is None else str(waiting),
            },
        )
