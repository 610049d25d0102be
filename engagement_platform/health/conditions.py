"""What is wrong with all that was read: the one list that page, alerts, metrics, checks and `status` show.

It is judged by `domain.judgement` and `domain.dagster_judgement`; nothing here decides.
"""

from collections.abc import Iterator, Mapping, Sequence

from engagement_platform.domain.conditions import Condition, Kind, by_importance
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.judgement.stream import unreadable
from engagement_platform.health.read import Status


def conditions_of(
    streams: Mapping[str, Status | EngagementError], now: float, others: Sequence[Condition] = ()
) -> list[Condition]:
    """Return what is wrong, the most important first. `others` are those of Dagster, `now` in seconds since 1970.

    The platform's database is one for all streams, and for Dagster: that it is away is said once. A refusal, and a
    table that is missing, are those of a stream, which has a schema of its own.
    """
    found = list(_of_streams(streams, now))
    if any(one.kind is Kind.UNREADABLE and not one.stream for one in found):
        others = [one for one in others if one.kind is not Kind.DAGSTER_UNREADABLE]
    return by_importance([*found, *others])


def _of_streams(streams: Mapping[str, Status | EngagementError], now: float) -> Iterator[Condition]:
    shared: Condition | None = None
    for name, status in streams.items():
        if isinstance(status, Status):
            yield from status.conditions
        elif type(status) is not Unavailable:
            yield unreadable(name, status, now)
        elif shared is None:
            shared = unreadable("", status, now)
            yield shared
