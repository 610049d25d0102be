"""What it means to readers that a loop does not do its work, and what becomes of the events: as a sentence."""

from collections.abc import Sequence

from engagement_platform.domain.judgement.standing import Expected

DOCTOR = "engagement-platform doctor looks at each server"
"""What to do where a server may be at fault."""

_READERS = {
    "kafka": "Nothing new comes to Kafka, so Redis, the warehouse and the partner get nothing new either",
    "redis": "The views in Redis stand still, and their as_of says so",
    "warehouse": "The warehouse gets nothing new; rebuilds of days go on",
    "partner": "The partner gets nothing",
}
"""Destination -> what whoever reads there sees."""


def means(loops: Sequence[Expected], waiting: int | None, *, is_safe: bool) -> str:
    """Say what readers see, where how many events wait, and whether going on could lose or double any."""
    destinations = [loop.destination for loop in loops]
    seen = (
        (_READERS["kafka"],)
        if "kafka" in destinations
        else tuple(_READERS.get(one, f"Nothing new comes to {one}") for one in destinations)
    )
    place = "in the source" if "kafka" in destinations else "in Kafka"
    if not is_safe:
        kept = f"Going on could lose or double events, so what comes waits {place} until a person has acted"
    elif not waiting:
        kept = f"{'Events wait' if waiting is None else 'What comes waits'} {place}; nothing is lost"
    else:
        kept = f"{events_wait(waiting)} {place}; nothing is lost"
    within = "" if place == "in the source" else " within Kafka's retention, a week unless the topic says otherwise"
    return f"{'. '.join(seen)}. {kept}{within if is_safe else ''}."


def events_wait(number: int) -> str:
    """Say how many events wait."""
    return "1 event waits" if number == 1 else f"{number:,} events wait"
