"""The loop from a real Kafka to a real Redis. Every comparison is exact: a recount of what was sent, as of as_of."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from engagement_platform.adapters.kafka import consumer
from engagement_platform.adapters.redis.connection import connect
from engagement_platform.adapters.redis.counts import rebuild_views
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Snapshot, Views
from engagement_platform.domain.errors import StreamStopped, Superseded, Unavailable
from engagement_platform.domain.playback import Playback, read
from engagement_platform.domain.windows import NONE, recount
from engagement_platform.settings import Settings
from engagement_platform.stream import tally
from engagement_platform.stream.control import Standalone
from engagement_platform_tests.adapters.kafka.topic import Sent, Topic, event, eventually, put
from engagement_platform_tests.adapters.redis.server import Server

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def quick_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "REFRESH_MS", 300)


@pytest.fixture
def topic(settings: Settings) -> Iterator[Topic]:
    topic = Topic(settings)
    yield topic
    topic.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


@pytest.fixture
def views(client: redis.Redis, settings: Settings) -> Views:
    return Views(client, settings.redis_namespace)


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


class Running:
    """A tally in a thread of its own."""

    def __init__(self, settings: Settings, control: Standalone | None = None) -> None:
        self.control = control or Standalone()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(settings,), daemon=True)
        self._thread.start()

    def _run(self, settings: Settings) -> None:
        try:
            tally.run(settings, self.control)
        except BaseException as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def finish(self, timeout: float = 20.0) -> None:
        """Stop it, and raise what it raised."""
        self.control.stop.set()
        self._thread.join(timeout)
        assert self.ended
        if self.error:
            raise self.error


Start = Callable[..., Running]


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    started: list[Running] = []

    def one(settings: Settings = settings, control: Standalone | None = None) -> Running:
        started.append(Running(settings, control))
        return started[-1]

    yield one
    for running in started:
        running.control.stop.set()
    for running in started:
        running._thread.join(20)


def drain(settings: Settings) -> Standalone:
    control = Standalone(drain=True)
    tally.run(settings, control)
    return control


def playbacks(sent: list[Sent]) -> list[Playback]:
    read_back = [read(json.dumps(one).encode()) for one in sent]
    assert None not in read_back
    return [one for one in read_back if one is not None]


def difference(found: Snapshot, sent: list[Sent], settings: Settings) -> tuple[Any, Any] | None:
    expected = recount(playbacks(sent), tally.window_of(settings), found.as_of_ms)
    return None if found.as_of_ms and found.views == expected else (found.views, expected)


def assert_exact(views: Views, sent: list[Sent], settings: Settings) -> Snapshot:
    found = views.snapshot()
    assert difference(found, sent, settings) is None
    assert set(found.display) == found.views["content"].keys() - {NONE}
    return found


def becomes_exact(views: Views, sent: list[Sent], settings: Settings) -> None:
    eventually(lambda: difference(views.snapshot(), sent, settings) is None)
    assert_exact(views, sent, settings)


def generation(views: Views) -> str | None:
    return views.snapshot().meta.get("generation")


def test_draining_counts_everything_that_is_there_and_ends(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send(event(n, age=n) for n in range(400))
    control = drain(settings)
    found = assert_exact(views, sent, settings)
    assert found.views["content_type"][NONE][0] > 0
    assert control.progress.events == 400
    assert (control.progress.lag, control.progress.latency.count) == (0, 400)
    assert found.offsets == _ends(settings)


def test_draining_again_adds_only_what_is_new(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send(event(n) for n in range(10))
    drain(settings)
    assert drain(settings).progress.events == 0
    sent += topic.send(event(n) for n in range(5))
    assert drain(settings).progress.events == 5
    assert_exact(views, sent, settings)


def test_draining_an_empty_topic_leaves_readable_views(settings: Settings, topic: Topic, views: Views) -> None:
    drain(settings)
    assert views.as_of() is not None
    assert_exact(views, [], settings)


def test_an_event_is_readable_milliseconds_after_its_commit(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    running = start()
    eventually(lambda: views.as_of() is not None)
    waits = []
    for number in range(1, 41):
        topic.send([event(number)])
        committed = time.perf_counter()
        eventually(lambda number=number: views.totals().count == number)  # type: ignore[misc]
        waits.append(time.perf_counter() - committed)
    running.finish()
    assert sorted(waits)[len(waits) // 2] < 0.05
    assert (running.control.progress.latency.quantile(0.5) or 0) > 0


def test_without_events_the_window_slides_on(
    settings: Settings, topic: Topic, start: Start, client: redis.Redis
) -> None:
    small = settings.model_copy(update={"window_seconds": 10, "bucket_seconds": 1})
    views = Views(client, settings.redis_namespace)
    sent = topic.send(event(n, age=7 + n * 0.1) for n in range(20))
    start(small)
    eventually(lambda: views.totals().count > 0)
    while views.totals().count:
        assert_exact(views, sent, small)
        time.sleep(0.1)
    assert_exact(views, sent, small)


def test_a_stopped_tally_ends_within_a_poll(topic: Topic, views: Views, start: Start) -> None:
    running = start()
    eventually(lambda: views.as_of() is not None)
    began = time.perf_counter()
    running.finish()
    assert time.perf_counter() - began < 2


# Offsets


def test_a_redis_that_went_back_in_time_is_counted_again(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    """As after a failover to a replica that lagged; here while no events come."""
    sent = topic.send(event(n) for n in range(50))
    running = start()
    becomes_exact(views, sent, settings)
    running.finish()
    lagging = {key: client_dump(client, key) for key in client.scan_iter(f"{{{settings.redis_namespace}}}:*")}
    sent += topic.send(event(n) for n in range(30))
    running = start()
    becomes_exact(views, sent, settings)
    with client.pipeline(transaction=True) as pipe:
        for key in client.scan_iter(f"{{{settings.redis_namespace}}}:*"):
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

    def claim(self) -> None:
        raise Superseded("another run took the turn")


def test_a_run_whose_turn_was_taken_ends_quietly(settings: Settings, topic: Topic, views: Views) -> None:
    tally.run(settings, Waiting())
    assert views.as_of() is None


class Uncertain(Standalone):
    """The control of a run while the platform database is down."""

    def owns_lease(self) -> bool:
        raise Unavailable("the platform database does not answer")


def test_with_the_platform_database_down_it_goes_on(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    sent = topic.send([event()])
    running = start(settings, Uncertain())
    becomes_exact(views, sent, settings)
    rebuild_views(settings)
    sent += topic.send([event()])
    becomes_exact(views, sent, settings)
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
    topic.cut({0: _ends(settings)[0]})
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
    client.hset(Keys.live(settings.redis_namespace).offsets, "0", 1_000)
    control = Standalone(drain=False)
    running = Running(settings, control)
    eventually(lambda: views.offsets().get(0) == 11)
    running.finish()
    assert_exact(views, sent, settings)


# The topic's identity


def test_a_recreated_topic_is_refused_until_the_views_are_rebuilt(
    settings: Settings, topic: Topic, views: Views
) -> None:
    topic.send(event(n) for n in range(10))
    drain(settings)
    before = views.snapshot()
    topic.recreate()
    sent = topic.send(event(n) for n in range(12))
    with pytest.raises(StreamStopped, match="engagement-platform views rebuild"):
        drain(settings)
    assert views.snapshot() == before
    rebuild_views(settings)
    drain(settings)
    assert_exact(views, sent, settings)


def test_a_topic_that_is_recreated_under_a_running_tally_stops_it(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(10))
    running = start()
    becomes_exact(views, sent, settings)
    topic.recreate()
    eventually(lambda: running.ended)
    with pytest.raises(StreamStopped, match="engagement-platform views rebuild"):
        running.finish()


# Building the views anew


def test_after_a_flush_the_window_is_built_again_and_never_half(
    settings: Settings, topic: Topic, own_redis: Server, start: Start
) -> None:
    settings = settings.model_copy(update={"redis_url": SecretStr(own_redis.url)})
    sent = [one for _ in range(4) for one in topic.send(event(n, age=n % 300) for n in range(1_000))]
    client = own_redis.client()
    views = Views(client, settings.redis_namespace)
    start(settings)
    becomes_exact(views, sent, settings)
    seen: set[int] = set()
    client.flushall()
    eventually(lambda: seen.add(views.totals().count) or views.totals().count == 4_000)  # type: ignore[func-returns-value]
    assert seen <= {0, 4_000}
    assert_exact(views, sent, settings)
    sent += topic.send([event()])
    becomes_exact(views, sent, settings)


def test_while_views_are_rebuilt_readers_keep_the_old_ones(
    settings: Settings, topic: Topic, views: Views, start: Start, client: redis.Redis
) -> None:
    sent = topic.send(event(n, age=n % 300) for n in range(2_000))
    start()
    becomes_exact(views, sent, settings)
    before = generation(views)
    rebuild_views(settings)

    def replaced() -> bool:
        assert views.totals().count == 2_000
        return generation(views) != before

    eventually(replaced)
    assert_exact(views, sent, settings)
    assert not list(client.scan_iter(f"{{{settings.redis_namespace}}}:build:*"))


def test_another_window_in_the_settings_builds_the_views_anew(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send(event(n, age=n) for n in range(100))
    drain(settings)
    wider = settings.model_copy(update={"window_seconds": 60, "bucket_seconds": 5})
    drain(wider)
    assert_exact(views, sent, wider)


def test_a_redis_clock_that_fell_back_far_builds_the_views_anew(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis
) -> None:
    sent = topic.send(event(n, age=n) for n in range(100))
    drain(settings)
    meta = Keys.live(settings.redis_namespace).meta
    before = generation(views)
    client.hset(meta, "as_of", views.snapshot().as_of_ms + 3_600_000)
    drain(settings)
    assert_exact(views, sent, settings)
    assert generation(views) != before


def test_racing_tallies_on_an_empty_redis_count_once(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    sent = topic.send(event(n, age=n % 300) for n in range(2_000))
    running = [start() for _ in range(3)]
    becomes_exact(views, sent, settings)
    sent += topic.send(event(n) for n in range(100))
    becomes_exact(views, sent, settings)
    for one in running:
        one.finish()
    assert_exact(views, sent, settings)
    assert not list(client.scan_iter(f"{{{settings.redis_namespace}}}:build:*"))


def test_a_build_that_was_lost_begins_again(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """Its process stood still for longer than the build lives."""
    sent = topic.send(event(n) for n in range(100))
    monkeypatch.setattr(tally, "FRESH_SECONDS", -1.0)  # so that it is never promoted
    running = start()
    pattern = f"{{{settings.redis_namespace}}}:build:*"
    eventually(lambda: list(client.scan_iter(pattern)))
    for key in list(client.scan_iter(pattern)):
        client.unlink(key)
    eventually(lambda: running.control.progress.detail.get("refused"))
    monkeypatch.setattr(tally, "FRESH_SECONDS", 1.0)
    becomes_exact(views, sent, settings)


# Clocks


@pytest.mark.parametrize("jump", [-7_200, 7_200])
def test_the_clock_of_the_host_does_not_matter(
    settings: Settings, topic: Topic, views: Views, start: Start, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    sent = topic.send(event(n) for n in range(20))
    start()
    becomes_exact(views, sent, settings)
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump * 10**9)
    sent += topic.send(event(n) for n in range(20))
    becomes_exact(views, sent, settings)
    assert views.snapshot().meta["late"] == views.snapshot().meta["future"] == "0"


# Bad input


def test_what_is_no_event_is_skipped_and_told_once(
    settings: Settings, topic: Topic, views: Views, caplog: pytest.LogCaptureFixture
) -> None:
    sent = topic.send([event()], partition=0)
    topic.send_raw(b"somebody else's")
    topic.send_raw(None)
    sent += topic.send([event()], partition=0)
    with caplog.at_level(logging.WARNING, "engagement_platform"):
        control = drain(settings)
    assert_exact(views, sent, settings)
    assert control.progress.detail["unreadable"] == 2
    told = [record.getMessage() for record in caplog.records if "not an event" in record.getMessage()]
    assert told == [f"not an event: {settings.topic}, partition 0, offset 2"]


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00+00:00", "2099-12-31T23:59:59.999999+00:00"])
def test_events_of_other_times_move_the_offset_and_count_nothing(
    settings: Settings, topic: Topic, views: Views, text: str
) -> None:
    topic.send([event(event_ts=text)])
    control = drain(settings)
    assert_exact(views, [], settings)
    assert control.progress.detail == {("late" if text < "2" else "future"): 1}


def test_a_message_of_900_kb(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send([event(raw_payload="x" * 900_000), event(1)])
    drain(settings)
    assert_exact(views, sent, settings)


def test_a_message_without_the_header_is_counted(settings: Settings, topic: Topic, views: Views) -> None:
    one = event()
    topic.send_raw(json.dumps(one).encode())
    control = drain(settings)
    assert_exact(views, [one], settings)
    assert control.progress.latency.count == 0


def test_an_aborted_transaction_counts_nothing(settings: Settings, topic: Topic, views: Views) -> None:
    with suppress(ZeroDivisionError), topic.transaction() as producer:
        put(producer, topic.name, event())
        producer.flush()
        raise ZeroDivisionError
    drain(settings)
    assert_exact(views, [], settings)


# Redis' configuration and outages


def test_a_redis_that_evicts_is_refused(settings: Settings, topic: Topic, own_redis: Server) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory-policy", "volatile-lru")
        with pytest.raises(StreamStopped, match="noeviction"):
            drain(settings.model_copy(update={"redis_url": SecretStr(own_redis.url)}))
        assert client.dbsize() == 0


@pytest.mark.parametrize("outage", ["kill", "freeze"])
def test_redis_goes_and_comes_back(
    settings: Settings,
    topic: Topic,
    own_redis: Server,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    outage: str,
) -> None:
    monkeypatch.setattr("engagement_platform.adapters.redis.connection.TIMEOUT_SECONDS", 0.5)
    settings = settings.model_copy(update={"redis_url": SecretStr(own_redis.url)})
    with own_redis.client() as client, caplog.at_level(logging.WARNING, "engagement_platform"):
        views = Views(client, settings.redis_namespace)
        sent = topic.send(event(n) for n in range(50))
        running = start(settings)
        becomes_exact(views, sent, settings)
        before = generation(views)
        own_redis.kill() if outage == "kill" else own_redis.freeze()
        sent += topic.send(event(n) for n in range(50))
        eventually(lambda: _lines(caplog, "Waiting for it"))
        sent += topic.send(event(n) for n in range(50))
        time.sleep(0.5)  # several attempts, so that more than one line could be logged
        own_redis.start() if outage == "kill" else own_redis.thaw()
        becomes_exact(views, sent, settings)
        assert generation(views) == before  # went on; nothing was built anew
        eventually(lambda: _lines(caplog, "answers again"))
        running.finish()
    assert (_lines(caplog, "Waiting for it"), _lines(caplog, "answers again")) == (1, 1)


def _lines(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def _ends(settings: Settings) -> dict[int, int]:
    reader = consumer.TopicReader(settings)
    try:
        return reader.end_offsets()
    finally:
        reader.close()
