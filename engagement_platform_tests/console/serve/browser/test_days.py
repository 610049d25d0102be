"""The page Days in a real browser: a backfill from choice to end by keyboard; on a phone; light and dark."""

from datetime import UTC, date, datetime, timedelta

import pytest
from selenium.webdriver.common.keys import Keys

from engagement_platform.console.serve import backfills
from engagement_platform.console.serve.backfills import Backfills
from engagement_platform.domain.calendar import DayFacts, RebuiltBy
from engagement_platform_tests.console.serve.browser.conftest import Browser
from engagement_platform_tests.console.serve.conftest import TOKEN
from engagement_platform_tests.console.serve.days_made import Fixed, Launches, recorded
from engagement_platform_tests.console.serve.served import Served
from engagement_platform_tests.streaming import wait_for

MONTH = "/days?month=2026-03"


@pytest.fixture
def days(served: Served, monkeypatch: pytest.MonkeyPatch) -> Fixed:
    launches = Launches()
    launches.may_answer.set()
    monkeypatch.setattr(backfills, "_recorded", recorded)
    fixed = Fixed()
    served.site.calendars, served.site.backfills = fixed, Backfills(launches)
    return fixed


def test_a_day_is_chosen_confirmed_and_rebuilt_by_keyboard(browser: Browser, served: Served, days: Fixed) -> None:
    browser.open(f"{served.url}/login")
    browser.driver.find_element("id", "name").send_keys("anna")
    browser.driver.find_element("id", "token").send_keys(TOKEN, Keys.ENTER)
    wait_for(lambda: browser.driver.current_url == f"{served.url}/", "the login")
    browser.open(served.url + MONTH)
    browser.driver.find_element("css selector", "input[value='2026-03-02']").send_keys(Keys.SPACE)
    browser.driver.find_element("css selector", "form.card button").send_keys(Keys.ENTER)
    wait_for(lambda: "2026-03-02" in browser.text(".sentence"), "the confirmation")
    browser.driver.find_element("css selector", "form[action='/days/backfill'] button").send_keys(Keys.ENTER)
    wait_for(lambda: "Dagster has it as backfill bmyxgkqp" in browser.text(".sentence"), "the backfill")
    assert "Asked for by anna from 127.0.0.1" in browser.text("main")
    later = datetime.now(UTC) + timedelta(seconds=5)
    days.facts[date(2026, 3, 2)] = DayFacts(rows=9, rebuilt=RebuiltBy("run", later, later, 9))
    wait_for(lambda: "All 1 days are rebuilt." in browser.text(".sentence"), "the page to load itself again", 20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.usefixtures("days")
def test_every_text_stands_out_and_nothing_is_wider_than_a_phone(
    browser: Browser, served: Served, scheme: str, language: str
) -> None:
    browser.open(f"{served.url}/choose?language={language}")
    for path in (f"{MONTH}&choose=needed", "/days/confirm?day=2026-03-02"):
        browser.open(served.url + path, scheme=scheme)
        assert browser.run("contrast.js") == []
        browser.open(served.url + path, width=360, height=740, scheme=scheme)
        assert not browser.is_too_wide()
