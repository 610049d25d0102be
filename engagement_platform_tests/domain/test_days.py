from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.days import between, bounds, consecutive, day_of

DAY = date(2026, 3, 1)


def test_a_day_is_utc_s_whatever_the_zone_of_the_time() -> None:
    assert day_of(datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=3)))) == date(2026, 2, 28)


def test_the_end_of_a_span_is_not_in_it() -> None:
    begin, end = bounds(DAY)
    assert between(begin, end) == [DAY]
    assert between(begin, end + timedelta(microseconds=1)) == [DAY, date(2026, 3, 2)]
    assert between(end, begin) == []


def test_the_last_day_of_all_has_an_end() -> None:
    assert bounds(date.max)[1] == datetime.max.replace(tzinfo=UTC)


@given(st.sets(st.dates(date(2026, 1, 1), date(2026, 2, 1))))
def test_runs_of_days_hold_every_day_once_without_gaps(days: set[date]) -> None:
    runs = list(consecutive(days))
    assert [day for run in runs for day in run] == sorted(days)
    assert all(b - a == timedelta(days=1) for run in runs for a, b in pairwise(run))
    assert all(b[0] - a[-1] > timedelta(days=1) for a, b in pairwise(runs))
