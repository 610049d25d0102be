"""A real browser without a screen: Debian's chromium, driven by its chromium-driver.

Where they are not installed the tests are skipped, and the summary says so: apt-get install chromium chromium-driver
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from engagement_platform_tests.console.serve import states
from engagement_platform_tests.console.serve.served import Served
from engagement_platform_tests.streaming import wait_for

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


class Browser:
    """What tests do with the browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.seen: list[str] = []
        """What consoles of pages that were left had of errors."""

    def open(self, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Open a page as on a screen of that size, on a device with that colour scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.command(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "no-preference"},
            ],
        )
        self.driver.get(url)

    def command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def run(self, file: str) -> Any:
        """Run a script that lies beside this module, as the body of a function."""
        return self.js((Path(__file__).parent / file).read_text())

    def text(self, css: str) -> str:
        """Return the text of the first such element; empty where there is none."""
        return str(self.js("const one = document.querySelector(arguments[0]); return one ? one.innerText : ''", css))

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def rect(self, css: str) -> dict[str, float]:
        """Return where the first such element is: left, right, top, bottom."""
        found: dict[str, float] = self.js(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return {left: r.left, right: r.right, top: r.top, bottom: r.bottom}",
            css,
        )
        return found

    def leave(self) -> None:
        """Leave the page, before its server ends."""
        self.seen += self.faults()
        self.driver.get("about:blank")

    def wait_for_words(self, *words: str) -> None:
        """Wait until the page says one of these of its connection."""
        wait_for(lambda: self.text("#connection-words") in words, "the connection")

    def faults(self) -> list[str]:
        """Return what the page's console has of errors and of what its policy refused, since the last call."""
        lines = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(line["message"]) for line in lines if line["level"] == "SEVERE"]

    def is_too_wide(self) -> bool:
        return bool(self.js("return document.documentElement.scrollWidth > window.innerWidth"))

    def shoot(self, file: Path) -> None:
        """Write a picture of the whole page."""
        height = int(self.js("return document.documentElement.scrollHeight"))
        width = int(self.js("return window.innerWidth"))
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.get_screenshot_as_file(str(file))


def start_driver(profile: Path) -> webdriver.Chrome:
    """Start a browser whose profile lies in a folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
        f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, Service(DRIVER))


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    driver = start_driver(tmp_path_factory.mktemp("chromium"))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(_driver: webdriver.Chrome) -> Iterator[Browser]:
    """The browser without cookies. At the end no page may have had an error, or anything that its policy refuses."""
    made = Browser(_driver)
    made.faults()
    made.command("Network.enable")
    made.command("Network.clearBrowserCookies")
    yield made
    made.leave()
    assert made.seen == []


@pytest.fixture
def served(browser: Browser) -> Iterator[Served]:
    """The page over a stream of which all is well. The browser has left it before it ends."""
    made = Served(states.well())
    yield made
    browser.leave()
    made.end()
