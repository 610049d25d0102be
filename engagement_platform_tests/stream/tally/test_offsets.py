"""The offsets in Redis decide: nothing is lost or doubled when they differ from what a tally believes."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import Superseded, Unavailable
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone, look_at_nothing
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.adapters.kafka.topic import Sent, Topic, event, eventually
from engagement_platform_tests.stream.tally.support import (
    Running,
    Start,
    assert_exact,
    becomes_exact,
    drain,
    ends,
    generation,
    lines,
)

pytestmark = pytest.mark.servers


def test_a_redis_that_went_back_in_time_is_counted_again(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    """As after a failover to a replica that lagged; here while no events come."""
    sent = topic.send(event(n) for n in range(50))
    running = start()
    becomes_exact(views, sent, settings)
    running.finish()
    lagging = {key: client_dump(client, key) for key in client.scan_iter(f"{{{settings.redis.namespace}}}:*")}
    sent += topic.send(event(n) for n in range(30))
    running = start()
    becomes_exact(views, sent, settings)
    with client.pipeline(transaction=True) as pipe:
        for key in client.scan_iter(f"{{{settings.redis.namespace}}}:*"):
            pipe.unlink(key)
        for key, value in lagging.items():
            pipe.restore(key, 0, value)  # type: ignore[arg-type]
        pipe.execute()
    becomes_exact(views, sent, settings)
    sent += topic.send(event(n) for n in range(20))
    becomes_exact(views, sent, settings)
    assert running.control.progress.detail["refused"] in (1, 2)


def client_dump(client: redis.Redis, key: str) -> object:
    """DUMP gives bytes, which this client would decode."""
    raw = redis.Redis(connection_pool=redis.ConnectionPool(**_raw(client)))
    with raw:
        return raw.dump(key)


def _raw(client: redis.Redis) -> dict[str, Any]:
    kwargs = client.connection_pool.connection_kwargs
    return {name: kwargs[name] for name in ("host", "port", "db", "username", "password") if name in kwargs}


def test_two_tallies_at_once_count_once(settings: Settings, topic: Topic, views: Views, start: Start) -> None:
    sent: list[Sent] = []
    first, second = start(), start()
    eventually(lambda: views.as_of() is not None)
    for round_ in range(15):
        sent += topic.send(event(n) for n in range(round_ * 20, round_ * 20 + 20))
    becomes_exact(views, sent, settings)
    first.finish()
    sent += topic.send(event(n) for n in range(20))
    becomes_exact(views, sent, settings)
    second.finish()
    assert_exact(views, sent, settings)


class Replaced(Standalone):
    """The control of a run that another one has superseded."""

    asked = 0

    def owns_lease(self) -> bool:
        self.asked += 1
        return False


def test_a_superseded_tally_ends_quietly_at_the_first_refusal(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send([event()])
    old = start(settings, Replaced())
    becomes_exact(views, sent, settings)
    start()
    for _ in range(50):
        sent += topic.send([event()])
        if old.ended:
            break
    eventually(lambda: old.ended)
    assert old.error is None
    becomes_exact(views, sent, settings)


class Waiting(Standalone):
    """The control of a run whose turn another one took."""

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        raise Superseded("another run took the turn")


def test_a_run_whose_turn_was_taken_ends_quietly(settings: Settings, topic: Topic, views: Views) -> None:
    tally.run(settings, Waiting())
    assert views.as_of() is None


class Uncertain(Standalone):
    """The control of a run while the platform database is down."""

    def owns_lease(self) -> bool:
        raise Unavailable("the platform database does not answer")


def test_with_the_platform_database_down_it_goes_on(
    settings: Settings, topic: Topic, views: Views, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sent = topic.send([event()])
    running = start(settings, Uncertain())
    becomes_exact(views, sent, settings)
    rebuild_views(settings)
    sent += topic.send([event()])
    becomes_exact(views, sent, settings)
    assert running.control.progress.detail["refused"]
    assert not lines(caplog, "Waiting for it")
    assert not running.ended


def test_a_new_partition_is_counted_from_its_beginning(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(20))
    start()
    becomes_exact(views, sent, settings)
    topic.widen(3)
    sent += topic.send((event(n) for n in range(20)), partition=2)
    becomes_exact(views, sent, settings)
    assert views.offsets().keys() == {0, 1, 2}


@pytest.mark.parametrize("running", [True, False])
def test_offsets_that_have_expired_lead_to_a_new_window(
    settings: Settings, topic: Topic, views: Views, start: Start, client: redis.Redis, running: bool
) -> None:
    """What has expired is not in the window that Kafka can give any more; everything after it is."""
    old = topic.send((event(n) for n in range(10)), partition=0)
    drain(settings)
    assert_exact(views, old, settings)
    lost = topic.send((event(n) for n in range(10)), partition=0)
    topic.cut({0: ends(settings)[0]})
    kept = topic.send((event(n) for n in range(7)), partition=0)
    before = generation(views)
    if running:
        start()
        becomes_exact(views, kept, settings)
    else:
        drain(settings)
        assert_exact(views, kept, settings)
    assert generation(views) != before
    assert len(lost) == 10


def test_offsets_beyond_the_end_lead_to_a_new_window(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis
) -> None:
    """Kafka lost the end of its log, and Redis had counted it."""
    sent = topic.send((event(n) for n in range(10)), partition=0)
    drain(settings)
    client.hset(Keys.live(settings.redis.namespace).offsets, "0", 1_000)
    control = Standalone(drain=False)
    running = Running(settings, control)
    eventually(lambda: views.offsets().get(0) == 11)
    running.finish()
    assert_exact(views, sent, settings)
