"""The page Now in a real browser: each state, live, both languages, dark, by keyboard, on a phone, without script."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from selenium.webdriver.common.keys import Keys

from engagement_platform.console.serve import sse
from engagement_platform_tests.console.serve import states
from engagement_platform_tests.console.serve.browser.conftest import Browser
from engagement_platform_tests.console.serve.served import Served
from engagement_platform_tests.streaming import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    """One server for tests that only show a sample."""
    made = Served(states.well())
    yield made
    made.end()


SAID = {
    "well": ("All well", "All well: 1,012 events a second, in Redis after 22 ms", "", ""),
    "redis": ("Act now", "Redis at 127.0.0.1:6379 does not answer since ", "redis", "See that Redis at 127.0.0.1:6379"),
    "partner-down": ("Act now", "The partner's API does not take events since ", "partner", "Ask the partner."),
    "partner-refuses": ("Act now", "The partner's API cannot be used: status 401", "partner", "ENGAGEMENT_API_URL"),
    "kafka": ("Act now", "Kafka at 127.0.0.1:9092 does not answer since ", "kafka", "See that Kafka at 127.0.0.1:9092"),
    "source": ("Act now", "The source database does not answer since ", "source", "See that the source"),
    "source-refuses": ("Act now", "The source database refuses since ", "source", "GRANT SELECT ON"),
    "nobody": ("Act now", "Nobody streams: the last run gives no sign of life since ", "", "Dagster's daemon"),
    "shard": (
        "Act now",
        "Nobody streams shard 1: its last run gives no sign of life since ",
        "",
        "keep_engagement_stream_shard_1_alive",
    ),
    "database": ("Act now", "The platform database does not answer since ", "", "ENGAGEMENT_PLATFORM_DSN"),
    "letters": (
        "Look at this",
        "Kafka to the warehouse is paused by nour@host since ",
        "",
        "engagement-platform resume stage",
    ),
}
"""State -> the word, the sentence, which place is at fault in the picture, and what to do."""


def test_every_state_is_shown() -> None:
    assert SAID.keys() == states.STATES.keys()


@pytest.mark.parametrize("state", states.STATES)
def test_the_page_says_first_what_is_broken_since_when_and_what_to_do(
    browser: Browser, shared: Served, state: str
) -> None:
    word, sentence, place, todo = SAID[state]
    shared.sampler.show(states.STATES[state]())
    browser.open(shared.url)
    assert browser.text(".sentence .word") == word
    assert browser.text("h1").startswith(sentence)
    assert todo in browser.text(".sentence .todo")
    assert browser.rect("h1")["bottom"] < 300, "it is seen first"
    assert browser.driver.title.startswith(word)
    faulty = browser.js("return [...document.querySelectorAll('.place.critical')].map(one => one.className)")
    assert places_of(faulty) == ([place] if place else [])
    assert not browser.is_too_wide()
    if state not in ("well", "letters", "nobody", "shard", "database"):
        assert "12,261 events wait, nothing is lost" in browser.text("h1")


def places_of(classes: list[str]) -> list[str]:
    return [name.removeprefix("at-") for one in classes for name in one.split() if name.startswith("at-")]


def test_what_changes_is_there_without_loading_the_page_anew(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    browser.js("window.same = true")
    browser.wait_for_words("Live")
    assert browser.text("#announcement") == ""
    served.sampler.show(states.well(relay=states.streams("relay", done=2_345.0)))
    wait_for(lambda: "2,345 events a second" in browser.text("h1"), "the new figure")
    assert browser.text("#announcement") == "", "a screen reader does not hear each second"
    served.sampler.show(states.redis_is_away())
    wait_for(lambda: browser.text("h1").startswith("Redis at"), "the outage")
    assert browser.text("#announcement") == "Redis at 127.0.0.1:6379 does not answer"
    assert browser.driver.title.startswith("Act now")
    served.sampler.show(states.well())
    wait_for(lambda: browser.text("h1").startswith("All well"), "the end of the outage")
    assert browser.text("#announcement") == "All well"
    assert browser.js("return window.same") is True


def test_the_first_event_changes_nothing_of_the_page_that_was_loaded(browser: Browser, served: Served) -> None:
    """Else what one has opened or where one is would be lost with it, and bars would begin anew."""
    browser.open(served.url)
    browser.js("for (const one of document.querySelectorAll('main *')) one.same = true")
    browser.wait_for_words("Live")
    served.sampler.show(states.well(relay=states.streams("relay", done=77.0)))
    wait_for(lambda: "77 events a second" in browser.text("h1"), "an event")
    # Another time below a plot is new, where it came between the two.
    new = "[...document.querySelectorAll('main section *:not(.time)')].filter((one) => !one.same)"
    assert browser.js(f"return {new}.map((one) => one.outerHTML)") == []


def test_lines_of_the_ranking_move_to_their_new_places(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    browser.wait_for_words("Live")
    first, last = (one.get_attribute("data-key") for one in (browser.all(".bars li")[0], browser.all(".bars li")[-1]))
    browser.js("document.querySelector('.bars li').same = true")
    browser.run("motions.js")
    now = states.well()
    stream = replace(now.streams["engagement"], ranking=states.ranking(40))
    served.sampler.show(replace(now, streams={"engagement": stream}))
    wait_for(lambda: browser.all(".bars li")[0].get_attribute("data-key") == last, "the new first one")
    assert browser.js("return document.querySelector(`.bars li[data-key='${arguments[0]}']`).same", first) is True
    assert browser.js("return window.moved") > 0
    assert browser.js("return document.querySelectorAll('.bars li').length") == 10


def test_a_lost_connection_is_said_with_the_age_of_what_is_shown_and_comes_back(
    browser: Browser, served: Served
) -> None:
    browser.open(served.url)
    browser.wait_for_words("Live")
    served.end()
    said = wait_for(lambda: t if "is lost" in (t := browser.text("#connection-words")) else "", "the loss")
    assert 5 <= int(said.split(" seconds old")[0].rsplit(" ", 1)[1]) <= 30
    assert browser.text("#announcement") == said
    assert browser.driver.title == "Not known · Engagement platform"
    assert shown_words(browser) == ["Not known"]
    assert browser.js("return getComputedStyle(document.querySelector('.sentence')).getPropertyValue('--tone')") == (
        browser.js("return getComputedStyle(document.body).getPropertyValue('--muted')")
    )
    served.begin()
    served.sampler.show(states.redis_is_away())
    wait_for(lambda: browser.text("h1").startswith("Redis at"), "what has happened meanwhile")
    assert browser.text("#connection-words") == "Live"
    assert browser.driver.title.startswith("Act now")
    assert shown_words(browser) == ["Act now"]
    browser.faults()  # the browser notes that it could not connect


def test_a_connection_that_is_silent_for_ever_is_made_anew(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SILENT_SECONDS", 600.0)
    browser.open(served.url)
    browser.wait_for_words("Live")
    browser.js("const now = performance.now.bind(performance); performance.now = () => now() + 15000")
    wait_for(lambda: "is lost" in browser.text("#connection-words"), "the silence to be noticed")
    assert browser.js("return document.querySelector('.live').classList.contains('lost')")
    browser.js("const now = performance.now.bind(performance); performance.now = () => now() + 15000")
    browser.wait_for_words("Live")


def shown_words(browser: Browser) -> list[str]:
    return [one.text for one in browser.all(".sentence > .word") if one.is_displayed()]


def test_an_open_page_does_not_stay_well_when_the_server_reads_nothing_more(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    browser.wait_for_words("Live")
    served.sampler.latest = replace(served.sampler.latest, at=served.sampler.latest.at - 100)
    wait_for(lambda: "nothing could be read for 10" in browser.text("h1"), "the page to say so")
    assert browser.driver.title.startswith("Not known")
    assert "well" not in browser.js("return document.querySelector('.sentence').className").split()


def test_what_the_server_could_not_read_any_more_is_old(browser: Browser, served: Served) -> None:
    served.sampler.latest = replace(states.well(), at=states.well().at - 100)
    browser.open(served.url)
    assert "nothing could be read for 100 s" in browser.text("h1")
    wait_for(lambda: "could not read anything new for 10" in browser.text("#connection-words"), "its age")


def test_nothing_is_sent_to_a_page_that_nobody_looks_at(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    wait_for(lambda: served.sampler._listeners, "the connection")
    page = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    try:
        wait_for(lambda: not served.sampler._listeners, "its end")
    finally:
        browser.driver.close()
        browser.driver.switch_to.window(page)
    served.sampler.show(states.redis_is_away())
    wait_for(lambda: browser.text("h1").startswith("Redis at"), "the present")


def test_it_speaks_arabic_from_right_to_left(browser: Browser, shared: Served) -> None:
    shared.sampler.show(states.partner_is_down())
    browser.open(shared.url)
    browser.driver.find_element("link text", "العربية").click()
    wait_for(lambda: browser.js("return document.documentElement.dir") == "rtl", "the other language")
    assert browser.js("return document.documentElement.lang") == "ar"
    assert browser.text("h1").startswith("واجهة الشريك لا تستقبل الأحداث منذ ")
    assert "12,261" in browser.text("h1")
    assert browser.text(".sentence .todo").startswith("ما العمل:")
    assert browser.rect(".at-source")["left"] > browser.rect(".at-kafka")["right"]
    assert browser.rect(".at-kafka")["left"] > browser.rect(".at-redis")["right"]
    assert not browser.is_too_wide()
    shared.sampler.show(states.well())
    wait_for(lambda: browser.text("h1").startswith("كل شيء على ما يرام: 1,012 حدث"), "a live update in Arabic")
    browser.driver.refresh()
    assert browser.js("return document.documentElement.dir") == "rtl", "the choice is kept"


def darkness(browser: Browser) -> float:
    """Return how bright the page's ground is, from 0 to 255."""
    colour = browser.js("return getComputedStyle(document.body).backgroundColor")
    return sum(float(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) / 3


def test_it_is_dark_where_the_device_is_and_as_one_chooses(browser: Browser, shared: Served) -> None:
    browser.open(shared.url, scheme="light")
    assert darkness(browser) > 200
    browser.open(shared.url, scheme="dark")
    assert darkness(browser) < 60
    browser.driver.find_element("css selector", "a[title='Light']").click()
    wait_for(lambda: darkness(browser) > 200, "the choice")
    browser.driver.refresh()
    assert darkness(browser) > 200, "the choice is kept"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Browser, shared: Served, scheme: str) -> None:
    for state in ("well", "redis", "letters", "database"):
        shared.sampler.show(states.STATES[state]())
        browser.open(shared.url, scheme=scheme)
        assert browser.run("contrast.js") == []


def test_everything_is_reached_by_keyboard_and_seen_where_one_is(browser: Browser, served: Served) -> None:
    served.sampler.show(states.letters_and_a_pause())
    browser.open(served.url)
    every = "[...document.querySelectorAll('a[href], button, summary, input')]"
    focusable = browser.js(f"return {every}.filter((one) => one.checkVisibility()).length")
    seen = []
    for _ in range(focusable):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(browser.run("focus.js"))
    assert 'class="skip"' in seen[0][0]
    assert len({html for html, *_ in seen}) == focusable
    assert [one for one in seen if one[1] == "none" or one[2] < 2 or not one[3]] == []


def test_the_skip_link_leads_past_the_head(browser: Browser, shared: Served) -> None:
    browser.open(shared.url)
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    wait_for(lambda: browser.js("return document.activeElement.id") == "main", "the content")


def test_what_one_has_opened_and_where_one_is_stays_while_the_page_changes(browser: Browser, served: Served) -> None:
    served.sampler.show(states.letters_and_a_pause())
    browser.open(served.url)
    browser.wait_for_words("Live")
    summary = browser.all(".others summary")[0]
    summary.send_keys(Keys.ENTER)
    assert "redrive or discard" in browser.text(".others")
    for lag in range(5, 8):
        served.sampler.show(states.letters_and_a_pause(lag))
        wait_for(partial(says, browser, f"{lag} events wait"), "the next figure")
    assert "redrive or discard" in browser.text(".others"), "it is open still"
    assert browser.js("return document.activeElement.tagName") == "SUMMARY"


def says(browser: Browser, text: str) -> bool:
    return text in browser.text(".sentence")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_it_fits_a_phone(browser: Browser, shared: Served, language: str) -> None:
    for state in ("well", "partner-refuses", "letters"):
        shared.sampler.show(states.STATES[state]())
        browser.open(f"{shared.url}/choose?language={language}", width=360, height=740)
        assert not browser.is_too_wide()
        assert browser.rect("h1")["bottom"] < 740
        assert browser.rect(".at-kafka")["top"] > browser.rect(".at-source")["bottom"], "one below the other"


def test_without_a_script_it_loads_anew(browser: Browser, served: Served) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(served.url)
        assert "Loads anew every 5 seconds" in browser.driver.page_source
        served.sampler.show(states.redis_is_away())
        wait_for(lambda: "does not answer" in browser.driver.page_source, "the page to be loaded anew")
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


def test_a_screen_reader_finds_its_way(browser: Browser, shared: Served) -> None:
    shared.sampler.show(states.well())
    browser.open(shared.url)
    tree = browser.command("Accessibility.getFullAXTree")["nodes"]
    nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node.get("ignored")]
    roles = [role for role, _ in nodes]
    for landmark in ("banner", "main", "navigation", "contentinfo", "status"):
        assert landmark in roles
    assert roles.count("heading") == len([1 for role, name in nodes if role == "heading" and name])
    regions = [name for role, name in nodes if role == "region"]
    assert len(regions) == len(set(regions)) >= 5
    assert all(name for role, name in nodes if role in ("link", "button", "navigation", "region", "image"))
    live = browser.js("return [...document.querySelectorAll('[aria-live]')].map(one => one.id)")
    assert live == ["announcement"]


def test_several_streams_have_a_switch_and_what_is_wrong_elsewhere_is_said(browser: Browser) -> None:
    well, orders = states.well().streams["engagement"], states.renamed(states.redis_is_away(), "orders")
    served = Served(states.sample_of({"engagement": well, "orders": orders}))
    try:
        browser.open(served.url)
        assert browser.text("h1").startswith("Stream orders: Redis at 127.0.0.1:6379 does not answer")
        assert browser.driver.title.startswith("Act now")
        browser.wait_for_words("Live")
        served.sampler.show(served.sampler.latest)
        assert browser.text(".sentence .word") == "Act now"
        browser.driver.find_element("link text", "engagement").click()
        wait_for(lambda: browser.text("h1").startswith("All well: 1,012"), "the one that is well")
        assert browser.text(".others").startswith("Act now Stream orders: Redis at 127.0.0.1:6379 does not answer")
        browser.driver.find_element("link text", "orders").click()
        wait_for(lambda: browser.text("h1").startswith("Redis at 127.0.0.1:6379 does not answer"), "the other stream")
        assert browser.text(".streams [aria-current]") == "orders"
    finally:
        browser.leave()
        served.end()
