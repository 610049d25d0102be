"""Redis' clock is set wrong for a while, under a stream of events: nothing is missing afterwards."""

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from engagement_platform.adapters.redis import scripts
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.loop_state import Activity
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.topic import Sent, Topic, event, eventually
from engagement_platform_tests.stream.tally.support import Running, Start, assert_exact, becomes_exact, drain

pytestmark = pytest.mark.servers

_REAL = "local time = redis.call('TIME')\n"

SetClock = Callable[[int], None]


@pytest.fixture
def set_clock(settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set the scripts' clock so many seconds off the server's; the whole script sees the same clock."""
    key = f"{settings.redis.namespace}:skew"
    original = scripts.source
    skewed = f"{_REAL}time[1] = time[1] + (redis.call('GET', '{key}') or 0)\n"

    def source(name: str) -> str:
        text = original(name)
        assert _REAL in text
        return text.replace(_REAL, skewed)

    monkeypatch.setattr(scripts, "source", source)

    def set_clock(seconds: int) -> None:
        client.set(key, seconds)

    return set_clock


class Stream:
    """Some hundred events a second, some of them late and some ahead."""

    def __init__(self, topic: Topic) -> None:
        self.sent: list[Sent] = []
        self._topic = topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        for number in itertools.count(0, 10):
            if self._stop.wait(0.02):
                return
            self.sent += self._topic.send(event(number + i, age=(number + i) % 400 - 20) for i in range(10))

    def flows(self, events: int) -> None:
        """Wait until so many more were sent."""
        then = len(self.sent) + events
        eventually(lambda: len(self.sent) >= then)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)


@pytest.fixture
def stream(topic: Topic) -> Iterator[Stream]:
    made = Stream(topic)
    yield made
    made.stop()


def waits(running: Running) -> bool:
    state = running.control.progress.state
    return (state.kind, state.subject) == (Activity.WAITS, "Redis' clock")


def is_counted_on(views: Views, stream: Stream) -> None:
    """Wait until what is sent from now on is counted, too."""
    stream.flows(100)
    before = sum(views.offsets().values())
    eventually(lambda: sum(views.offsets().values()) > before)


@pytest.mark.parametrize("skew", [-300, -30, 30, 900])
def test_a_clock_that_is_wrong_for_a_while_loses_nothing(
    settings: Settings, topic: Topic, views: Views, start: Start, set_clock: SetClock, stream: Stream, skew: int
) -> None:
    running = start()
    is_counted_on(views, stream)
    set_clock(skew)
    eventually(lambda: waits(running))
    as_of, offsets = views.as_of(), views.offsets()
    stream.flows(300)
    assert (views.as_of(), views.offsets()) == (as_of, offsets)  # stale, and said to be
    eventually(lambda: (running.control.progress.lag or 0) >= 200)
    set_clock(0)
    eventually(lambda: not waits(running))
    is_counted_on(views, stream)
    running.finish()
    stream.stop()
    drain(settings)
    assert_exact(views, stream.sent, settings)


@pytest.mark.parametrize("skew", [-9, 9])
def test_a_clock_that_is_wrong_by_seconds_loses_nothing(
    settings: Settings, topic: Topic, views: Views, start: Start, set_clock: SetClock, skew: int
) -> None:
    running = start()
    sent = topic.send(event(n, age=n % 300 - 20) for n in range(300))
    becomes_exact(views, sent, settings)
    for clock in (skew, 0):
        set_clock(clock)
        sent += topic.send(event(n, age=n % 300 - 20) for n in range(300))
        becomes_exact(views, sent, settings)
    running.finish()


@pytest.mark.parametrize("skew", [-300, 300])
def test_new_views_are_not_built_by_a_wrong_clock(
    settings: Settings,
    topic: Topic,
    views: Views,
    client: redis.Redis,
    start: Start,
    set_clock: SetClock,
    stream: Stream,
    skew: int,
) -> None:
    """A failover to a replica without the data, whose clock is off."""
    stream.flows(200)
    set_clock(skew)
    running = start()
    eventually(lambda: waits(running))
    if skew < 0:
        assert views.as_of() is None
        assert not list(client.scan_iter(f"{{{settings.redis.namespace}}}:build:*"))
    set_clock(0)
    is_counted_on(views, stream)
    running.finish()
    stream.stop()
    drain(settings)
    assert_exact(views, stream.sent, settings)


def test_a_clock_that_is_ahead_while_no_events_come_does_not_stop_the_window(
    settings: Settings, topic: Topic, views: Views, start: Start, set_clock: SetClock
) -> None:
    """Whether it or the quiet is to blame cannot be told, and no event is missed. What left too early comes back."""
    running = start()
    eventually(lambda: views.as_of() is not None)
    sent = topic.send(event(n, age=n) for n in range(300))
    becomes_exact(views, sent, settings)
    before = views.as_of() or 0
    set_clock(400)
    eventually(lambda: (views.as_of() or 0) > before + 300_000)
    becomes_exact(views, sent, settings)
    set_clock(0)
    eventually(lambda: (views.as_of() or 0) < before + 300_000)
    becomes_exact(views, sent, settings)
    running.finish()
