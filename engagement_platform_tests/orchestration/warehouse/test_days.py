from datetime import UTC, date, datetime

import pytest

from engagement_platform.orchestration.warehouse.days import days_definition, row_counts


def test_today_is_a_partition_and_tomorrow_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_FIRST_DAY", "2024-08-01")
    days = days_definition("engagement")
    now = datetime(2024, 8, 3, 0, 1, tzinfo=UTC)
    assert days.get_partition_keys(now) == ["2024-08-01", "2024-08-02", "2024-08-03"]


def test_the_count_of_one_day_is_plotted() -> None:
    found = row_counts({date(2024, 8, 1): 7})
    assert found["dagster/row_count"].value == 7
    assert found["rows"].value == {"2024-08-01": 7}


def test_several_days_have_no_count_that_each_of_them_would_show() -> None:
    found = row_counts({date(2024, 8, 1): 7, date(2024, 8, 2): 8})
    assert found["rows"].value == {"2024-08-01": 7, "2024-08-02": 8}
    assert "dagster/row_count" not in found
