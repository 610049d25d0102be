"""Days of history, always in UTC: the partitions of the warehouse, and which of them are to be settled."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta

ONE_DAY = timedelta(days=1)


def day_of(moment: datetime) -> date:
    """Return the day of an aware time."""
    return moment.astimezone(UTC).date() if moment.tzinfo is not UTC else moment.date()


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of a day and the first after it; the last day of the year 9999 ends with the years."""
    begin = datetime.combine(day, time(), UTC)
    return begin, datetime.max.replace(tzinfo=UTC) if day == date.max else begin + ONE_DAY


def between(since: datetime, until: datetime) -> list[date]:
    """Return the days that the time from `since` to before `until` touches, ascending."""
    if until <= since:
        return []
    first, last = day_of(since), day_of(until - timedelta(microseconds=1))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def consecutive(days: Iterable[date]) -> Iterator[list[date]]:
    """Split days into ascending runs without a gap."""
    run: list[date] = []
    for day in sorted(set(days)):
        if run and day - run[-1] > ONE_DAY:
            yield run
            run = []
        run.append(day)
    if run:
        yield run


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
