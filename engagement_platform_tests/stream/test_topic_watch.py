"""Topics that somebody configures anew while the stream runs."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from psycopg.types.json import Jsonb

from engagement_platform.adapters.kafka.topics import ensure_replay_topic, ensure_topics
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.topics import DAY_MS, Topic, User, demands, unmet
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor, topic_watch
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.registry import LOOPS, loop_named
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.streaming import drain, insert, read_all, running, wait_for
from engagement_platform_tests.streams import PACKAGED

NAMES = {Topic.EVENTS: "e", Topic.CHECKPOINT: "c", Topic.DEAD_LETTERS: "l", Topic.REPLAYS: "r"}
AS_CREATED = {
    "e": {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime", "retention.ms": "604800000"},
    "c": {"cleanup.policy": "compact", "max.message.bytes": "1048588"},
    "l": {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    "r": {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"},
}


@pytest.mark.parametrize(
    ("topic", "name", "value", "stops", "warns"),
    [
        ("e", "cleanup.policy", "compact", {User.RELAY}, {User.SINK}),
        ("e", "cleanup.policy", "compact,delete", {User.RELAY}, {User.SINK}),
        ("e", "message.timestamp.type", "CreateTime", {User.BUILD}, {User.TALLY}),
        ("e", "retention.ms", "60000", {User.BUILD}, {User.TALLY, User.SINK}),
        ("e", "retention.ms", str(DAY_MS - 1), set(), {User.SINK}),
        ("e", "retention.ms", str(DAY_MS), set(), set()),
        ("e", "retention.ms", "-1", set(), set()),
        ("e", "retention.bytes", "1000000", set(), {User.SINK}),
        ("e", "max.message.bytes", "2000", set(), {User.RELAY}),
        ("c", "cleanup.policy", "delete", {User.RELAY}, set()),
        ("c", "max.message.bytes", "2000", {User.RELAY}, set()),
        ("l", "cleanup.policy", "compact", set(), {User.RELAY}),
        ("l", "retention.ms", "3600000", set(), {User.RELAY}),
        ("l", "retention.bytes", "1000000", set(), {User.RELAY}),
        ("l", "message.timestamp.type", "CreateTime", set(), {User.RELAY}),
        ("r", "cleanup.policy", "compact", set(), {User.SINK}),
        ("r", "retention.ms", "3600000", set(), {User.SINK}),
        ("r", "retention.bytes", "1000000", set(), {User.SINK}),
    ],
)
def test_what_a_change_means_for_whom(topic: str, name: str, value: str, stops: set[User], warns: set[User]) -> None:
    present = AS_CREATED | {topic: AS_CREATED[topic] | {name: value}}
    broken = list(unmet(demands(800_000), NAMES, present))
    assert {user for one in broken for user in one.demand.stops} == stops
    assert {user for one in broken for user in one.demand.warns} == warns
    for one in broken:
        assert f"{topic} has {name}={value}" in one.what
        assert f"--entity-name {topic} --add-config {name}={one.demand.value}" in one.remedy("k:9092")
        assert one.demand.is_met(one.demand.value)  # the remedy works


def test_topics_as_a_first_start_creates_them_meet_all_demands(settings: Settings) -> None:
    ensure_topics(settings)
    ensure_replay_topic(settings)
    for loop in LOOPS:
        watch = topic_watch.TopicWatch(settings, loop, logging.getLogger("test"))
        watch.look()
        watch.require()
        assert watch._unmet == []
        watch.close()


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_watch, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.2)


Alter = Callable[..., None]


@pytest.fixture
def alter(settings: Settings) -> Alter:
    """Set a topic's configuration, as an operator does."""

    def set_config(topic: str, **values: str) -> None:
        configs = {name.replace("_", "."): value for name, value in values.items()}
        with admin(settings.kafka) as client:
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])

    return set_config


def is_in(control: Standalone, kind: Activity) -> Callable[[], bool]:
    return lambda: control.progress.state.kind is kind


@pytest.mark.parametrize(
    ("topic", "wrong", "right"), [("topic", "compact", "delete"), ("checkpoint_topic", "delete", "compact")]
)
def test_a_policy_that_loses_events_or_the_checkpoint_stops_the_relay_until_it_is_mended(
    settings: Settings, writer: psycopg.Connection[Any], alter: Alter, topic: str, wrong: str, right: str
) -> None:
    name = settings[topic]
    with running(relay.run, settings) as control:
        insert(writer, 5)
        wait_for(lambda: control.progress.events == 5, "the first events")
        alter(name, cleanup_policy=wrong)
        wait_for(is_in(control, Activity.STOPPED), "the relay to stop")
        state = control.progress.state
        assert f"{name} has cleanup.policy={wrong}" in state.reason
        assert f"--add-config cleanup.policy={right}" in state.remedy
        insert(writer, 5)
        alter(name, cleanup_policy=right)
        wait_for(lambda: control.progress.events == 10, "the relay to go on")
    assert len(read_all(settings, settings.topics.events)) == 10


def test_a_size_limit_that_is_lowered_is_said_and_taken_up(
    settings: Settings, writer: psycopg.Connection[Any], alter: Alter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "engagement_platform"), running(relay.run, settings) as control:
        insert(writer, 2)
        wait_for(lambda: control.progress.events == 2, "the first events")
        alter(settings.topics.events, max_message_bytes="2000")
        wait_for(lambda: "larger events become dead letters" in caplog.text, "the warning")
        wait_for(lambda: "went down from" in caplog.text, "the relay to begin again")
        writer.execute(
            "INSERT INTO engagement_events (event_type, event_ts, raw_payload) VALUES ('play', now(), %s)",
            [Jsonb("x" * 5_000)],
        )
        insert(writer, 1)
        wait_for(lambda: control.progress.events == 4, "the others")
    assert sorted(json.loads(one.value)["id"] for one in read_all(settings, settings.topics.events)) == [1, 2, 4]
    (letter,) = read_all(settings, settings.topics.dead_letters)
    assert json.loads(letter.value)["event_id"] == 3


def test_a_retention_that_is_lowered_is_said_and_nothing_stops(
    settings: Settings, writer: psycopg.Connection[Any], alter: Alter, caplog: pytest.LogCaptureFixture
) -> None:
    drain(relay.run, settings)
    with caplog.at_level(logging.WARNING, "engagement_platform"), running(stage.run, settings) as control:
        wait_for(is_in(control, Activity.STREAMS), "the stage")
        alter(settings.topics.events, retention_ms="7200000", retention_bytes="100000000")
        wait_for(lambda: "retention.ms=7200000" in caplog.text, "the warning")
        wait_for(lambda: "retention.bytes=100000000" in caplog.text, "the other warning")
        assert control.progress.state.kind is Activity.STREAMS
    assert caplog.text.count("retention.ms=7200000") == 1


def test_views_are_not_built_by_times_that_are_not_those_of_arrival(
    settings: Settings, writer: psycopg.Connection[Any], alter: Alter
) -> None:
    """What is counted already is counted on; new views wait until the topic is as it should be."""
    drain(relay.run, settings)
    with connect_redis(settings.redis) as client, running(tally.run, settings) as control, running(relay.run, settings):
        views = Views(client, settings.redis.namespace, PACKAGED)
        insert(writer, 3)
        wait_for(lambda: views.totals().count == 3, "the first events")
        alter(settings.topics.events, message_timestamp_type="CreateTime", retention_ms=str(7 * DAY_MS))
        insert(writer, 3)
        wait_for(lambda: views.totals().count == 6, "the next events")
        wait_for(lambda: "CreateTime" in _seen_by(settings), "the change")
        rebuild_views(settings)
        wait_for(is_in(control, Activity.STOPPED), "the tally to refuse")
        assert "message.timestamp.type=CreateTime" in control.progress.state.reason
        alter(settings.topics.events, message_timestamp_type="LogAppendTime", retention_ms=str(7 * DAY_MS))
        wait_for(is_in(control, Activity.STREAMS), "the tally to go on")
        insert(writer, 1)
        wait_for(lambda: views.totals().count == 7, "all events")


def _seen_by(settings: Settings) -> str:
    watch = topic_watch.TopicWatch(settings, loop_named("tally"), logging.getLogger("test"))
    watch.look()
    watch.close()
    return " ".join(one.what for one in watch._unmet)


def test_a_look_that_fails_in_a_way_that_nobody_foresaw_is_not_the_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_topics(settings)
    looks: list[None] = []
    look = topic_watch.TopicWatch.look

    def fails_once(watch: topic_watch.TopicWatch) -> None:
        looks.append(None)
        if len(looks) == 2:
            raise KeyError("topic")
        look(watch)

    monkeypatch.setattr(topic_watch.TopicWatch, "look", fails_once)
    with topic_watch.watching(settings, loop_named("stage"), logging.getLogger("test")):
        wait_for(lambda: len(looks) >= 4, "another look")
