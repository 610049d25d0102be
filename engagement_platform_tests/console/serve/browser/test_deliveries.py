"""Deliveries, dead letters and one event in a real browser: a redrive from filter to record; on a phone, in colours."""

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from engagement_platform.console.serve.site import Site
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.console.serve.browser.conftest import Browser
from engagement_platform_tests.console.serve.conftest import TOKEN
from engagement_platform_tests.console.serve.served import Served
from engagement_platform_tests.dead_letters.support import states
from engagement_platform_tests.streaming import drain, wait_for


@pytest.fixture
def site(served: Served) -> Site:
    """The page that the browser has open: `ours` is of its stream."""
    return served.site


def test_a_redrive_from_the_filter_to_its_record(
    browser: Browser, served: Served, ours: Settings, receiver: Receiver
) -> None:
    browser.open(f"{served.url}/login")
    browser.driver.find_element("id", "name").send_keys("anna")
    browser.driver.find_element("id", "token").send_keys(TOKEN, Keys.ENTER)
    wait_for(lambda: browser.driver.current_url == f"{served.url}/", "the login")
    browser.open(f"{served.url}/deliveries")
    Select(browser.driver.find_element("name", "outcome")).select_by_value("dead letter")
    browser.driver.find_element("css selector", "form.filters button").send_keys(Keys.ENTER)
    wait_for(lambda: "1 requests are meant" in browser.text("main"), "the filter")
    browser.driver.find_element("css selector", "a.button[href^='/deliveries/redrive']").send_keys(Keys.ENTER)
    wait_for(lambda: "Redrive the 1 dead letters" in browser.text("main"), "the dry run")
    assert states(ours) == {2: "open"}
    browser.driver.find_element("id", "why").send_keys("they have mended it")
    browser.driver.find_element("css selector", "button[value='letters']").send_keys(Keys.ENTER)
    wait_for(lambda: "1 dead letters are redriven" in browser.text("main"), "the redrive")
    drain(forward.run, ours)
    assert [each.key for each in receiver.deliveries].count("engagement-event-2") == 1
    browser.open(f"{served.url}/deliveries")
    record = browser.text("section[aria-labelledby='changes']")
    assert "anna from 127.0.0.1" in record
    assert "they have mended it" in record
    assert "1 letters redriven, 0 cannot be, 0 events sent" in record
    browser.open(f"{served.url}/event/2")
    assert "Delivered at" in browser.text(".places")


def test_every_text_stands_out_and_nothing_is_wider_than_a_phone(
    browser: Browser, served: Served, ours: Settings
) -> None:
    browser.open(f"{served.url}/deliveries?outcome=dead+letter")
    one = str(browser.all("table.rows tbody a")[0].get_attribute("href")).removeprefix(served.url)
    for language, scheme in (("en", "light"), ("ar", "dark")):
        browser.open(f"{served.url}/choose?language={language}")
        for path in ("/deliveries", one, "/deliveries/redrive", "/dead-letters", "/dead-letters/0:0", "/event/2"):
            browser.open(served.url + path, scheme=scheme)
            assert browser.run("contrast.js") == [], path
            browser.open(served.url + path, width=360, height=740, scheme=scheme)
            assert not browser.is_too_wide(), path
