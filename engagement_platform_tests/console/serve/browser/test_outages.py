"""The page over the whole platform while servers are really stopped, or really refuse: it says so, and says the end.


All outages are of one platform, one after the other: what is broken is mended, and all is well again before the next.
`ENGAGEMENT_TEST_PICTURES=FOLDER` keeps a picture of each.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from engagement_platform.local import stack as local_stack
from engagement_platform.local.demo.programs import Dagster, Page
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests import daemons
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.console.serve.browser.conftest import Browser
from engagement_platform_tests.integration.dagster_dev import ROOT, environment
from engagement_platform_tests.streaming import wait_for

pytestmark = [pytest.mark.newcomer, pytest.mark.slow, pytest.mark.timeout(1500)]

PATIENCE = 120.0
SAID_WITHIN = 30.0
"""Seconds; mostly it is one to three, and fifteen where it is a silence that has to be told from slowness."""


@dataclass
class Platform:
    """All that runs."""

    folder: Path
    endpoints: Endpoints
    source: SourceDatabase
    partner: Receiver
    dagster: Dagster
    page: Page
    variables: dict[str, str]


@pytest.fixture(scope="module")
def platform(own_stack_folder: Path) -> Iterator[Platform]:
    endpoints = local_stack.up(own_stack_folder, durable=False, use_usual_ports=False)
    source = make_source(endpoints)[1]
    with ExitStack() as parts, pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        partner = parts.enter_context(Receiver())
        settings = make_settings(
            endpoints, source.dsn, endpoints.platform_dsn, state_dir=own_stack_folder, api_url=partner.url,
            api_probe_seconds=1, api_breaker_failures=3,
        )  # fmt: skip
        variables = environment(endpoints, own_stack_folder, settings)
        dagster, page = Dagster(own_stack_folder), Page(own_stack_folder)
        parts.callback(dagster.stop)
        dagster.start(variables)
        page.dagster_url = dagster.url
        parts.callback(page.stop)
        page.start(variables)
        wait_for(lambda: page.daemon.listens_on(int(page.url.rpartition(":")[2])), "the page")
        yield Platform(own_stack_folder, endpoints, source, partner, dagster, page, variables)


@contextmanager
def written(source: SourceDatabase, variables: dict[str, str]) -> Iterator[None]:
    """Let events be committed while the block runs, whatever happens to the source meanwhile."""
    command = [sys.executable, "-m", "engagement_platform.local.generator", "--rate", "100"]
    env = variables | {"ENGAGEMENT_LOCAL_WRITER_DSN": source.writer_dsn}
    generator = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        generator.terminate()
        generator.wait(20)


def server_is_killed(name: str) -> Callable[[Platform], Callable[[], object]]:
    """Return what kills a server, and returns what starts it again."""

    def broken(platform: Platform) -> Callable[[], object]:
        server = daemons.server(platform.folder, name)
        daemons.kill(server.daemon)
        return lambda: local_stack.up(platform.folder, durable=False, use_usual_ports=False)

    return broken


def partner_answers(status: int) -> Callable[[Platform], Callable[[], object]]:
    """Return what lets the partner answer everything with a status, and returns what lets it be well again."""

    def broken(platform: Platform) -> Callable[[], object]:
        platform.partner.behave(Behaviour("error", status=status))
        return lambda: platform.partner.behave(Behaviour())

    return broken


def partner_is_down(platform: Platform) -> Callable[[], object]:
    platform.partner.down()
    return platform.partner.up


def redis_refuses(platform: Platform) -> Callable[[], object]:
    """Redis asks for another password from now on, also those who are connected."""
    with redis.Redis.from_url(platform.endpoints.redis_url, decode_responses=True) as client:
        (before,) = cast("dict[str, str]", client.config_get("requirepass")).values()
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)
    url = urlsplit(platform.endpoints.redis_url)

    def mend() -> None:
        with redis.Redis(host=url.hostname or "", port=url.port or 0, password="another") as client:
            client.config_set("requirepass", before)

    return mend


def source_refuses(platform: Platform) -> Callable[[], object]:
    """The source's owner takes the right to read away."""

    def owner(statement: str) -> None:
        with psycopg.connect(platform.source.writer_dsn, autocommit=True) as connection:
            connection.execute(statement)

    with psycopg.connect(platform.source.dsn) as reading:
        (role,) = reading.execute("SELECT current_user").fetchone() or ("",)
    owner(f"REVOKE SELECT ON engagement_events FROM {role}")
    return lambda: owner(f"GRANT SELECT ON engagement_events TO {role}")


def source_is_away(platform: Platform) -> Callable[[], object]:
    """The source's database lets nobody in, as one that is being restored."""
    name = platform.source.admin_dsn.rpartition("/")[2]

    def administrator(*statements: str) -> None:
        with psycopg.connect(platform.endpoints.admin_dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    administrator(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    return lambda: administrator(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def nobody_streams(platform: Platform) -> Callable[[], object]:
    platform.dagster.stop()
    return lambda: platform.dagster.start(platform.variables)


@dataclass(frozen=True)
class Outage:
    """Something that is broken, and what the page has to say of it."""

    name: str
    broken: Callable[[Platform], Callable[[], object]]
    said: str
    """In the sentence."""
    todo: str


OUTAGES = (
    Outage("redis-stopped", server_is_killed("valkey"), "Redis at 127.0.0.1", "runs and can be reached"),
    Outage("redis-refuses", redis_refuses, "Redis at 127.0.0.1", "ENGAGEMENT_REDIS_URL"),
    Outage("partner-stopped", partner_is_down, "The partner's API does not take events", "Ask the partner"),
    Outage("partner-503", partner_answers(503), "The partner's API does not take events", "Ask the partner"),
    Outage("partner-refuses", partner_answers(401), "The partner's API cannot be used: status 401", "ask the partner"),
    Outage("kafka-stopped", server_is_killed("kafka"), "Kafka at 127.0.0.1", "runs and can be reached"),
    Outage("source-refuses", source_refuses, "source", "GRANT SELECT"),
    Outage("source-away", source_is_away, "source", ""),
    Outage("database-stopped", server_is_killed("postgres"), "The platform database", "ENGAGEMENT_PLATFORM_DSN"),
    Outage("nobody-streams", nobody_streams, "Nobody streams", "Dagster's daemon"),
)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_the_page_says_what_is_broken_and_that_it_is_over(browser: Browser, platform: Platform, outage: Outage) -> None:
    browser.open(platform.page.url)
    with written(platform.source, platform.variables):
        wait_for(lambda: "events a second" in browser.text("h1"), "events, and all to be well", 300)
        browser.js("window.same = true")
        mend = outage.broken(platform)
        began = time.monotonic()
        try:
            wait_for(lambda: is_said(browser, outage), f"the page to say {outage.name}", PATIENCE)
            assert time.monotonic() - began < SAID_WITHIN
            assert " since " in browser.text("h1")
            assert browser.text(".sentence .word") == "Act now"
            assert outage.todo in browser.text(".sentence")
            assert not browser.is_too_wide()
            keep(browser, outage.name)
        finally:
            mend()
        wait_for(lambda: browser.text("h1").startswith("All well: "), "all to be well again", 300)
        assert browser.js("return window.same") is True, "the page was not loaded anew"


def is_said(browser: Browser, outage: Outage) -> bool:
    sentence = browser.text("h1")
    return outage.said in sentence and not sentence.startswith("All well")


def keep(browser: Browser, name: str) -> None:
    if folder := os.environ.get("ENGAGEMENT_TEST_PICTURES"):
        browser.shoot(Path(folder) / f"{name}.png")
