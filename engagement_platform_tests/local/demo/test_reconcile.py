"""The comparison must find what was planted: a comparison that never fails proves nothing."""

import threading
from itertools import product
from typing import cast

import psycopg
import pytest
import redis
from kafka import KafkaProducer

from engagement_platform.adapters.kafka.kafka_python.connection import options
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.local.demo.compare import events_off
from engagement_platform.local.demo.reconcile import Reconciliation, reconcile
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.generator.writer import generate
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain, read_all
from engagement_platform_tests.streams import PACKAGED


@pytest.fixture
def streamed(settings: Settings, source_db: SourceDatabase) -> Settings:
    """A source with some thousand events, all of them in Kafka and Redis."""
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    generate(source_db.writer_dsn, Workload(rate=2_000), stop)
    drain(relay.run, settings)
    drain(tally.run, settings)
    return settings


def compared(settings: Settings) -> Reconciliation:
    return reconcile(settings, patience=0.2)


def is_clean(found: Reconciliation) -> bool:
    return found.topic.lost == found.topic.doubled == found.topic.unknown == () == found.views


def test_a_stream_that_lost_nothing_is_clean(streamed: Settings) -> None:
    found = compared(streamed)
    assert is_clean(found)
    assert found.committed == found.in_kafka == found.in_window > 1_000
    assert sum(count for count, _ in found.snapshot.views["device"].values()) == found.committed


def test_a_row_whose_message_is_missing_is_lost(streamed: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        row = connection.execute(
            "INSERT INTO engagement_events (event_type, event_ts) VALUES ('click', now()) RETURNING id"
        ).fetchone()
    found = compared(streamed)
    assert found.topic.lost == row
    assert {difference.missing for difference in found.views} == {1}


def test_a_message_that_is_there_twice_is_doubled(streamed: Settings) -> None:
    record = read_all(streamed, streamed.topics.events)[0]
    producer = KafkaProducer(**options(streamed.kafka))
    producer.send(streamed.topics.events, record.value, record.key).get(10)
    producer.close()
    drain(tally.run, streamed)
    found = compared(streamed)
    assert len(found.topic.doubled) == 1
    assert not found.topic.lost
    assert {difference.surplus for difference in found.views} >= {1}


def test_a_row_that_is_gone_is_unknown(streamed: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        connection.execute("DELETE FROM engagement_events WHERE id = (SELECT max(id) FROM engagement_events)")
    assert len(compared(streamed).topic.unknown) == 1


def test_one_count_that_is_off_is_found_in_every_view(streamed: Settings) -> None:
    client: redis.Redis = connect_redis(streamed.redis)
    views = PACKAGED.views
    dimensions, measures = [one.name for one in views.dimensions], [one.name for one in views.measures]
    for dimension, measure, by in product(dimensions, measures, (1, -1)):
        view = Keys.live(streamed.redis.namespace).view(dimension, measure)
        member = cast("list[str]", client.zrange(view, 0, 0))[0]
        client.zincrby(view, by, member)
        found = compared(streamed)
        assert [(difference.dimension, difference.member) for difference in found.views] == [(dimension, member)]
        assert events_off(found.views) == ((0, 1) if by > 0 else (1, 0))
        assert not found.topic.lost
        assert not found.topic.doubled
        client.zincrby(view, -by, member)
    assert is_clean(compared(streamed))


def test_a_dead_letter_is_accounted_for(streamed: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        connection.execute("""
            INSERT INTO engagement_events (event_type, event_ts, raw_payload)
            VALUES ('click', now(), to_jsonb(repeat('x', 2000000))), ('click', 'infinity', NULL)""")
    drain(relay.run, streamed)
    drain(tally.run, streamed)
    found = compared(streamed)
    assert found.dead_letters == 2
    assert is_clean(found)
