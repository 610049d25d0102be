"""A tally of other streams: whatever their dimensions and measures are, and what follows when these change."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.event_stream import EventStream, Measure
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.topic import Sent, Topic, event, eventually
from engagement_platform_tests.stream.tally.support import Start, assert_exact, becomes_exact, drain, generation
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, VISITS

pytestmark = pytest.mark.servers

STREAMS = [ORDERS, VISITS, PINGS]


def of(stream: EventStream, number: int, age: float = 0.0) -> Sent:
    """Return a message of a stream, which has columns that nobody counts, too."""
    sent = event(number, age=age)
    numbers = {measure.column for measure in stream.views.measures}
    values: dict[str, Any] = {
        column: sent["duration_ms"] if column in numbers else (sent["device"], number % 5, number % 2 == 0)[place % 3]
        for place, column in enumerate(stream.views.columns)
    }
    return sent | values | {stream.source.time: sent["event_ts"]}


@pytest.fixture(params=STREAMS, ids=lambda stream: stream.name)
def stream(request: pytest.FixtureRequest) -> EventStream:
    stream: EventStream = request.param
    return stream


@pytest.fixture
def views(client: redis.Redis, settings: Settings, stream: EventStream) -> Views:
    return Views(client, settings.redis.namespace, stream)


def test_draining_counts_everything_that_is_there_and_then_what_is_new(
    settings: Settings, topic: Topic, views: Views, stream: EventStream
) -> None:
    sent = topic.send(of(stream, n, age=n) for n in range(400))
    assert drain(settings, stream).progress.events == 400
    before = generation(views)
    sent += topic.send(of(stream, n) for n in range(10))
    topic.send_raw(b"{}")
    assert drain(settings, stream).progress.detail["unreadable"] == 1
    assert_exact(views, sent, settings, stream)
    assert generation(views) == before


def test_the_window_slides_and_is_built_again_while_it_runs(
    settings: Settings, topic: Topic, views: Views, stream: EventStream, client: redis.Redis, start: Start
) -> None:
    small = settings.replace(window_seconds=10, bucket_seconds=1)
    sent = topic.send(of(stream, n, age=7 + n * 0.1) for n in range(20))
    start(small, stream=stream)
    becomes_exact(views, sent, small, stream)
    before = generation(views)
    client.unlink(Keys.live(settings.redis.namespace).offsets)
    eventually(lambda: generation(views) not in (before, None))
    sent += topic.send(of(stream, n) for n in range(5))
    becomes_exact(views, sent, small, stream)
    eventually(lambda: views.totals().count == 5)
    assert_exact(views, sent, small, stream)


@pytest.mark.parametrize("stream", [PACKAGED])
def test_views_of_the_version_before_go_on_and_other_measures_build_new_ones(
    settings: Settings, topic: Topic, views: Views, stream: EventStream, client: redis.Redis
) -> None:
    sent = topic.send(event(n, age=n) for n in range(50))
    drain(settings)
    before = generation(views)
    client.hdel(Keys.live(settings.redis.namespace).meta, "counted")
    sent += topic.send([event()])
    drain(settings)
    assert_exact(views, sent, settings)
    assert generation(views) == before

    more = (*stream.views.measures, Measure("length", "length_seconds"))
    fewer = replace(stream, views=replace(stream.views, dimensions=stream.views.dimensions[1:], measures=more))
    others = Views(client, settings.redis.namespace, fewer)
    drain(settings, fewer)
    assert_exact(others, sent, settings, fewer)
    assert generation(others) != before
    assert not client.exists(Keys.live(settings.redis.namespace).view("content", "ms"))
    built = generation(others)
    drain(settings, fewer)
    assert generation(others) == built
