"""Where the page's links to Dagster lead."""

import pytest

from engagement_platform.console.serve.server import dagster_link


def test_links_lead_where_alerts_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_ALERT_DAGSTER_LINK", "https://dagster.example")
    assert dagster_link() == "https://dagster.example"


def test_without_a_setting_there_are_no_links_and_a_setting_of_alerts_at_fault_keeps_no_page_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert dagster_link() == ""
    monkeypatch.setenv("ENGAGEMENT_ALERT_FORM", "carrier pigeon")
    assert dagster_link() == ""
