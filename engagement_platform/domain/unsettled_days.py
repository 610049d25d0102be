"""Which days are to be settled: rebuilt from the source once they have ended."""

from collections.abc import Collection
from datetime import date, datetime, timedelta

from engagement_platform.domain.days import ONE_DAY, day_of

GRACE = timedelta(hours=2)
"""How long after its end a day is left to the nightly schedule."""

MAX_DAYS = 14
"""So far back a day is settled late; older ones are an operator's to rebuild."""


def unsettled(settled: Collection[date], began: datetime | None, now: datetime, first: date) -> list[date]:
    """Return the days that have ended and were not rebuilt since, ascending.

    `began` is when the platform loaded for the first time: days before it were never its own. `first` is the first day
    that there is.
    """
    if began is None:
        return []
    last = day_of(now - GRACE) - ONE_DAY
    begin = max(first, day_of(began), last - (MAX_DAYS - 1) * ONE_DAY)
    days = [begin + n * ONE_DAY for n in range((last - begin).days + 1)]
    return [day for day in days if day not in settled]
