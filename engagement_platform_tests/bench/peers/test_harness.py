"""The one way in which relays are measured, tried with a relay in a thread."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer

from engagement_platform.adapters.kafka.kafka_python.connection import options
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.local.generator.writer import fill_catalogue
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.bench.peers import harness
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Load, Running
from engagement_platform_tests.bench.peers.poller import Poller
from engagement_platform_tests.bench.peers.reader import id_of, reading
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import insert, read_all, wait_for


@contextmanager
def in_a_thread(bench: Bench, place: Place) -> Iterator[Running]:
    stop = threading.Event()

    def poll() -> None:
        poller = Poller(place.settings)
        while not stop.wait(0.01):
            poller.poll()
        poller.close()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield Running(place.settings.topics.events, os.getpid())
    finally:
        stop.set()
        thread.join()


RELAY = Contender("a thread", in_a_thread)


@pytest.fixture
def bench(stack: Endpoints, stack_folder: Path, tmp_path: Path) -> Bench:
    return Bench(stack, stack_folder, tmp_path)


def test_a_steady_load_is_measured_from_commit_to_reader_with_what_each_part_took(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "LAST_EVENTS_SECONDS", 0.5)
    result = harness.stream(bench, RELAY, Load(rate=500, warm_up_seconds=0.2, measured_seconds=1))
    assert 100 < result.events < 2_000
    assert 0 < result.p50 <= result.p95 <= result.p99 <= result.largest
    assert result.doubled == 0
    assert {"relay", "Kafka", "PostgreSQL", "generator", "reader"} == result.cpu.keys()
    assert all(seconds >= 0 for seconds in result.cpu.values())


def test_rows_that_waited_are_all_counted_and_the_rate_is_that_of_the_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "QUIET_SECONDS", 0.2)
    result = harness.catch_up(bench, RELAY, 3_000)
    assert (result.missed, result.doubled) == (0, 0)
    assert result.rate > result.rate_with_start > 0


def test_a_poller_by_the_highest_id_misses_the_row_of_a_late_transaction(
    settings: Settings, source_db: SourceDatabase
) -> None:
    fill_catalogue(source_db.writer_dsn, 7)
    ensure_topics(settings)
    poller = Poller(settings)
    with psycopg.connect(source_db.writer_dsn) as late, psycopg.connect(source_db.writer_dsn, autocommit=True) as other:
        missed = insert(late)
        published = insert(other)
        assert poller.poll() == 1
        late.commit()
        published += insert(other)
    assert poller.poll() == 1
    assert poller.poll() == 0
    poller.close()
    ids = {id_of(record.value) for record in read_all(settings, settings.topics.events)}
    assert ids == set(published)
    assert not ids & set(missed)


def test_what_ends_the_reader_ends_the_measurement(settings: Settings) -> None:
    ensure_topics(settings)
    with pytest.raises(ValueError, match="no message of an event"):
        read_what_is_no_event(settings)


def read_what_is_no_event(settings: Settings) -> None:
    with reading(settings, settings.topics.events) as sightings:
        produce(settings, b"{}")
        wait_for(lambda: sightings.failure, "the reader to fail")


def produce(settings: Settings, value: bytes) -> None:
    producer = KafkaProducer(**options(settings.kafka))
    producer.send(settings.topics.events, value)
    producer.close()
