"""What many readers of a ranking get at once, over a real server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import redis

from engagement_platform.adapters.redis.ranking_script import Ranking
from engagement_platform.adapters.redis.rankings import Rankings
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.redis.server import Server, settings_for
from engagement_platform_tests.adapters.redis.tallied import CLOCK, NOW_MS, WINDOW, Tallied, event

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("clock_of_the_test")]
T = TypeVar("T")


def asked(settings: Settings, work: Callable[[Rankings], Awaitable[T]]) -> T:
    async def run() -> T:
        rankings = Rankings(settings)
        try:
            return await work(rankings)
        finally:
            await rankings.close()

    return asyncio.run(run())


def top(tallied: Tallied, server: Server, dimension: str, measure: str, n: int) -> Ranking:
    return asked(settings_for(server, tallied.namespace), lambda rankings: rankings.top(dimension, measure, n))


def test_it_is_read_as_for_one_thread(tallied: Tallied, shared_server: Server) -> None:
    tallied.send(event(content="a", ms=10), event(content="b", ms=1), event(content="b", ms=1), event(content=None))
    for dimension, measure, n in (("content", "count", 2), ("content", "ms", 9), ("device", "count", 9)):
        assert top(tallied, shared_server, dimension, measure, n) == tallied.views.top(dimension, measure, n)


def test_it_says_how_fresh_it_is_by_redis_clock(tallied: Tallied, shared_server: Server) -> None:
    tallied.at(1_234)
    tallied.counts.apply(replace(tallied.batch(event()), lag=7))
    tallied.at(4_234)
    ranking = top(tallied, shared_server, "content", "count", 1)
    assert (ranking.as_of_ms, ranking.now_ms, ranking.age_ms) == (NOW_MS + 1_234, NOW_MS + 4_234, 3_000)
    assert (ranking.window_ms, ranking.lag, ranking.is_counted) == (WINDOW.length_ms, 7, True)
    assert ranking.window_start_ms == (NOW_MS + 1_234 - WINDOW.length_ms) // WINDOW.bucket_ms * WINDOW.bucket_ms


def test_what_is_not_counted_is_said_to_be_so(tallied: Tallied, shared_server: Server) -> None:
    tallied.send(event())
    for dimension, measure in (("country", "count"), ("content", "cents")):
        ranking = top(tallied, shared_server, dimension, measure, 9)
        assert (ranking.is_counted, list(ranking.members)) == (False, [])


def test_without_views_there_is_no_time(client: redis.Redis, shared_server: Server, namespace: str) -> None:
    settings = settings_for(shared_server, namespace)
    ranking = asked(settings, lambda rankings: rankings.top("content", "count", 9))
    assert (ranking.as_of_ms, list(ranking.members)) == (None, [])


def test_a_server_that_forgot_the_script_is_sent_it(tallied: Tallied, shared_server: Server) -> None:
    tallied.send(event())

    async def twice(rankings: Rankings) -> list[int]:
        first = await rankings.top("content", "count", 1)
        tallied.client.script_flush()
        return [first.members[0].value, (await rankings.top("content", "count", 1)).members[0].value]

    assert asked(settings_for(shared_server, tallied.namespace), twice) == [1, 1]


def test_a_server_that_does_not_answer_is_unavailable_and_read_again_once_it_does(
    own_server: Server, namespace: str
) -> None:
    settings = settings_for(own_server, namespace)
    with own_server.client() as client:
        client.set(CLOCK, NOW_MS)

    async def outage(rankings: Rankings) -> Ranking:
        await rankings.top("content", "count", 1)
        own_server.kill()
        with pytest.raises(Unavailable, match="does not answer"):
            await rankings.top("content", "count", 1)
        own_server.start()
        return await rankings.top("content", "count", 1)

    assert asked(settings, outage).as_of_ms is None


def test_a_login_that_is_refused_is_no_outage(shared_server: Server, namespace: str) -> None:
    url = shared_server.url.replace("://", "://nobody:hidden@")
    with pytest.raises(Refused, match="refuses the login") as refused:
        asked(settings_for(shared_server, namespace).replace(redis_url=url), lambda one: one.top("content", "count", 1))
    assert "hidden" not in str(refused.value)
