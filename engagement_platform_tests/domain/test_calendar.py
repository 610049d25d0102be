"""What state a day of the warehouse is in."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.calendar import (
    Compared,
    Day,
    DayFacts,
    DayState,
    LoadedBy,
    RebuiltBy,
    calendar,
    faults_of,
    month_of,
    state_of,
    warnings_of,
)
from engagement_platform.domain.reconciliation import Findings, named

DAY = date(2026, 3, 1)
NOON, AFTER = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 2, 1, tzinfo=UTC)


def rebuilt(at: datetime) -> RebuiltBy:
    return RebuiltBy("run", at, at + timedelta(minutes=1), 5)


def compared(at: datetime, **faults: int) -> Compared:
    return Compared("run", at, 5, 5, faults)


LOADED = LoadedBy("load", NOON, 3)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (DayFacts(rows=0), DayState.NEVER),
        (DayFacts(rows=None), DayState.UNKNOWN),
        (DayFacts(rows=3), DayState.LIVE),
        (DayFacts(rows=None, loaded=LOADED), DayState.LIVE),
        (DayFacts(rows=3, rebuilt=rebuilt(NOON)), DayState.LIVE),
        (DayFacts(rows=3, rebuilt=rebuilt(AFTER)), DayState.REBUILT),
        (DayFacts(rows=0, rebuilt=rebuilt(AFTER)), DayState.REBUILT),
        (DayFacts(rows=3, rebuilt=rebuilt(AFTER), loaded=LOADED), DayState.REBUILT),
        (DayFacts(rows=3, rebuilt=rebuilt(AFTER), due="unfit"), DayState.STALE),
        (DayFacts(rows=3, rebuilt=rebuilt(AFTER), by_old_formula=True), DayState.STALE),
        (DayFacts(rows=3, compared=compared(AFTER, missing=1)), DayState.FAILED),
        (DayFacts(rows=3, compared=compared(AFTER, missing=1), due="unfit"), DayState.FAILED),
        (DayFacts(rows=3, compared=compared(AFTER)), DayState.LIVE),
        (DayFacts(rows=3, under_way=rebuilt(AFTER), compared=compared(AFTER, missing=1)), DayState.REBUILDING),
    ],
)
def test_a_day_has_the_first_state_that_is_true(facts: DayFacts, state: DayState) -> None:
    assert state_of(DAY, facts) is state


def test_a_rebuild_ends_what_an_earlier_comparison_found_and_not_what_a_later_one_did() -> None:
    facts = DayFacts(rows=3, rebuilt=rebuilt(AFTER))
    minute = timedelta(minutes=1)
    assert state_of(DAY, replace(facts, compared=compared(AFTER - minute, missing=1))) is DayState.REBUILT
    assert state_of(DAY, replace(facts, compared=compared(AFTER + 2 * minute, missing=1))) is DayState.FAILED


def test_the_difference_is_what_the_warehouse_has_more() -> None:
    facts = DayFacts(rows=3, compared=Compared("run", AFTER, 5, 3, {"missing": 2}))
    assert Day(DAY, DayState.FAILED, facts).difference == -2
    assert Day(DAY, DayState.LIVE, DayFacts(rows=3)).difference is None


@given(first=st.dates(date(1, 1, 1), date(9999, 11, 30)), length=st.integers(0, 40))
def test_a_calendar_has_each_day_of_its_span_once(first: date, length: int) -> None:
    last = min(date.max - timedelta(days=1), first + timedelta(days=length))
    days = calendar({first: DayFacts(rows=1)}, first, last, DayFacts(rows=0))
    assert [day.day for day in days] == [first + timedelta(days=n) for n in range((last - first).days + 1)]
    assert [day.state for day in days] == [DayState.LIVE, *[DayState.NEVER] * (len(days) - 1)]


@given(day=st.dates())
def test_a_month_begins_and_ends_with_itself(day: date) -> None:
    first, last = month_of(f"{day:%Y}".zfill(4) + f"-{day:%m}")
    assert first <= day <= last
    assert first.day == 1
    assert (first.year, first.month) == (last.year, last.month) == (day.year, day.month)
    assert last == date.max or (last + timedelta(days=1)).day == 1


@pytest.mark.parametrize(
    "text",
    [
        "", "2026", "2026-3", "2026-13", "2026-00", "26-03", "2026-03-01", "2026- 3", "-123-04", "٢٠٢٦-٠٣", "0000-01",
        "a-b",
    ],
)  # fmt: skip
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"month|year"):
        month_of(text)


def test_what_a_rebuild_mends_is_a_fault_and_the_rest_a_warning() -> None:
    findings = Findings(
        DAY, 9, 7, missing=named([1, 2]), changed=named([3]), awaited=named([4]), unjoined={"content": named([5, 6])},
        dead_letters=1,
    )  # fmt: skip
    assert faults_of(findings) == {"missing": 2, "changed": 1}
    assert warnings_of(findings) == {"awaited": 1, "unjoined": 2, "dead_letters": 1}
    assert faults_of(Findings(DAY, 9, 9)) == warnings_of(Findings(DAY, 9, 9)) == {}


@given(
    kinds=st.dictionaries(
        st.sampled_from(["missing", "surplus", "moved", "doubled", "different", "changed"]),
        st.sets(st.integers(0, 99), min_size=1),
    )
)
def test_a_day_differs_exactly_where_it_has_a_fault(kinds: dict[str, set[int]]) -> None:
    differences: dict[str, Any] = {kind: named(ids) for kind, ids in kinds.items()}
    findings = Findings(DAY, 1, 1, **differences)
    assert findings.differs == bool(faults_of(findings))
