"""Which days are settled late."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.days import GRACE, MAX_DAYS, unsettled

FIRST = date(2020, 1, 1)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = st.sets(st.dates(date(2026, 2, 1), date(2026, 3, 20)))


@given(settled=DAYS, began=st.dates(date(2026, 1, 1), date(2026, 3, 20)), hour=st.integers(0, 23))
def test_every_day_of_the_platform_that_has_ended_is_settled_once(settled: set[date], began: date, hour: int) -> None:
    now = NOW.replace(hour=hour)
    asked = unsettled(settled, datetime.combine(began, datetime.min.time(), UTC), now, FIRST)
    assert asked == sorted(set(asked) - settled)
    assert len(asked) <= MAX_DAYS
    for day in asked:
        assert day >= began
        assert datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1) + GRACE <= now


def test_days_that_dagster_missed_are_caught_up_with() -> None:
    settled = {date(2026, 3, day) for day in (1, 2, 3, 5)}
    asked = unsettled(settled, datetime(2026, 3, 1, tzinfo=UTC), NOW, FIRST)
    assert asked == [date(2026, 3, day) for day in (4, 6, 7, 8, 9)]


def test_yesterday_is_left_to_the_nightly_schedule_for_a_while() -> None:
    settled = {date(2026, 3, day) for day in range(1, 9)}
    began = datetime(2026, 3, 1, tzinfo=UTC)
    assert unsettled(settled, began, datetime(2026, 3, 10, 1, 59, tzinfo=UTC), FIRST) == []
    assert unsettled(settled, began, datetime(2026, 3, 10, 2, tzinfo=UTC), FIRST) == [date(2026, 3, 9)]


def test_nothing_is_settled_that_was_never_loaded_or_lies_too_far_back() -> None:
    assert unsettled((), None, NOW, FIRST) == []
    assert unsettled((), NOW, NOW, FIRST) == [], "it began today"
    assert unsettled((), LONG_AGO, NOW, FIRST)[0] == date(2026, 3, 9) - timedelta(days=MAX_DAYS - 1)
    assert unsettled((), LONG_AGO, NOW, date(2026, 3, 8)) == [date(2026, 3, 8), date(2026, 3, 9)]
