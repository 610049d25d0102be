"""Dead letters that wait for somebody to look at them."""

from collections.abc import Iterator

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.judgement.standing import Standing
from engagement_platform.domain.open_letters import OpenLetters


def dead_letters(standing: Standing) -> Iterator[Condition]:
    """Yield a condition for each source of dead letters that are open."""
    for letters in standing.letters.open if standing.letters is not None else ():
        yield _dead_letters(standing.stream, letters)


_MISSING = {
    "relay": "Kafka and all that reads it lack them",
    "tally": "Redis has not counted them",
    "stage": "the warehouse lacks them until their day is rebuilt",
    "forward": "the partner has not got them",
}


def _dead_letters(stream: str, letters: OpenLetters) -> Condition:
    one = letters.number == 1
    means = _MISSING.get(letters.source, "nobody has looked at them")
    return Condition(
        Kind.DEAD_LETTERS,
        Severity.WARNING,
        stream,
        letters.source,
        letters.since,
        f"{letters.number:,} dead letter{'' if one else 's'} of {letters.source} {'is' if one else 'are'} open; most "
        f"often: {letters.reason.rstrip('.')}.",
        f"They are kept in Kafka's topic of dead letters: nothing of them is lost, but {means}.",
        "Look at them with: engagement-platform dead-letters list; then redrive or discard them.",
        "/dead-letters",
        form="dead_letters",
        values={"number": str(letters.number), "source": letters.source, "reason": letters.reason},
    )
