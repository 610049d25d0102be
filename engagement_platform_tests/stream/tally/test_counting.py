"""What is counted, when it is readable, and what cannot be counted."""

import json
import logging
import time
from contextlib import suppress

import pytest
import redis

from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.windows import NONE
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually, put
from engagement_platform_tests.stream.tally.support import (
    Start,
    assert_exact,
    becomes_exact,
    drain,
    ends,
)
from engagement_platform_tests.streams import PACKAGED

pytestmark = pytest.mark.servers


def test_draining_counts_everything_that_is_there_and_ends(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send(event(n, age=n) for n in range(400))
    control = drain(settings)
    found = assert_exact(views, sent, settings)
    assert found.views["content_type"][NONE][0] > 0
    assert control.progress.events == 400
    assert (control.progress.lag, control.progress.latency.present().count) == (0, 400)
    assert found.offsets == ends(settings)


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


@pytest.mark.parametrize("building", [True, False])
def test_draining_counts_what_was_committed_behind_an_open_transaction(
    settings: Settings, topic: Topic, views: Views, start: Start, client: redis.Redis, building: bool
) -> None:
    """To a read_committed reader the topic ends before a transaction that another program holds open."""
    if not building:
        drain(settings)
    control = Standalone(drain=True)
    with topic.transaction() as producer:
        held = event(1)
        put(producer, topic.name, held, partition=0)
        producer.flush()
        committed = topic.send([event(2)], partition=0)
        before = views.as_of() or 0
        running = start(settings, control)
        eventually(lambda: running.ended or (views.as_of() or 0) > before + 600)
    eventually(lambda: running.ended)
    running.finish()
    assert_exact(views, [held, *committed], settings)


def test_an_event_is_readable_milliseconds_after_its_commit(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    running = start()
    eventually(lambda: views.as_of() is not None)
    waits = []
    for number in range(1, 16):
        topic.send([event(number)])
        committed = time.perf_counter()
        eventually(lambda number=number: views.totals().count == number)  # type: ignore[misc]
        waits.append(time.perf_counter() - committed)
    running.finish()
    assert sorted(waits)[len(waits) // 2] < 0.05
    assert (running.control.progress.latency.present().quantile(0.5) or 0) > 0


def test_without_events_the_window_slides_on(
    settings: Settings, topic: Topic, start: Start, client: redis.Redis
) -> None:
    small = settings.replace(window_seconds=10, bucket_seconds=1)
    views = Views(client, settings.redis.namespace, PACKAGED)
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
    assert told == [f"not an event: {settings.topics.events}, partition 0, offset 2"]


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00+00:00", "2099-12-31T23:59:59.999999+00:00"])
def test_events_of_other_times_move_the_offset_and_count_nothing(
    settings: Settings, topic: Topic, views: Views, text: str
) -> None:
    topic.send([event(event_ts=text)])
    control = drain(settings)
    assert_exact(views, [], settings)
    assert control.progress.detail.keys() == {"late" if text < "2" else "future", "behind", "bytes", "batches"}


def test_a_message_of_900_kb(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send([event(raw_payload="x" * 900_000), event(1)])
    drain(settings)
    assert_exact(views, sent, settings)


def test_a_message_without_the_header_is_counted(settings: Settings, topic: Topic, views: Views) -> None:
    one = event()
    topic.send_raw(json.dumps(one).encode())
    control = drain(settings)
    assert_exact(views, [one], settings)
    assert control.progress.latency.present().count == 0


def test_an_aborted_transaction_counts_nothing(settings: Settings, topic: Topic, views: Views) -> None:
    with suppress(ZeroDivisionError), topic.transaction() as producer:
        put(producer, topic.name, event())
        producer.flush()
        raise ZeroDivisionError
    drain(settings)
    assert_exact(views, [], settings)
