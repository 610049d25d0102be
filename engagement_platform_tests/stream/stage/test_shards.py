"""Several stages that divide the partitions, and what happens when two think that they have the same."""

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.shards import Shard, shards_of
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loader, open_loads
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain, read_all, running, wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
from engagement_platform_tests.warehouse import table_ids, write

EVENTS = 20
"""Each of its own content, always the same ones: by their keys each partition has some."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.replace(stage_seconds=0.5)


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def publish(settings: Settings, writer: psycopg.Connection[Any], number: int = EVENTS) -> list[int]:
    contents = [uuid.uuid5(uuid.NAMESPACE_OID, str(n)) for n in range(number)]
    writer.execute(
        "INSERT INTO content (id, slug, title, content_type, publish_ts) SELECT id, id, id, 'podcast', now() "
        "FROM unnest(%s::uuid[]) AS id ON CONFLICT DO NOTHING",
        [contents],
    )
    ids = [one for content in contents for one in write(writer, content_id=content)]
    drain(relay.run, settings)
    return ids


def begin(stack: ExitStack, settings: Settings, *shards: Shard) -> list[Standalone]:
    return [stack.enter_context(running(stage.run, settings, Standalone(shard=shard))) for shard in shards]


def has_all(settings: Settings, ids: list[int]) -> None:
    wait_for(lambda: len(table_ids(settings)) >= len(ids), "all events in the table")
    assert table_ids(settings) == ids


def behind(settings: Settings, offsets: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return partition and offset of each message behind these offsets; the mark of a transaction may be, too."""
    records = read_all(settings, settings.topics.events)
    return [(record.partition, record.offset) for record in records if record.offset >= offsets[record.partition]]


def test_the_number_changes_under_load_and_each_event_is_in_the_table_once(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """Those of the number before go on all the while: what only seemed dead wakes, and the rows decide."""
    ids: list[int] = []
    with ExitStack() as stack:
        for number in (1, 3, 2):
            begin(stack, settings, *shards_of(number))
            ids += publish(settings, writer)
            has_all(settings, ids)
    drain(stage.run, settings)
    has_all(settings, ids)
    with Loads.opened(settings, "test") as loads:
        last = loads.last_load(open_warehouse(settings).ensure(ENGAGEMENT_EVENTS))
    assert last is not None
    assert behind(settings, last.next_offsets) == [], "each load says of all partitions where they stand"


def test_a_stage_that_is_frozen_before_it_sends_doubles_nothing_when_it_wakes(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has entered its load when the number of shards changes; the new ones complete that under its own id."""
    is_entered, wakes = threading.Event(), threading.Event()
    deliver = open_loads.deliver

    def frozen(*arguments: Any, **named: Any) -> None:
        if threading.current_thread().name == "frozen" and not wakes.is_set():
            is_entered.set()
            assert wakes.wait(60)
        deliver(*arguments, **named)

    monkeypatch.setattr(loader, "deliver", frozen)
    ids = publish(settings, writer)
    assert {partition for partition, _ in behind(settings, dict.fromkeys(range(4), 0))} == set(range(4))
    zombie = Standalone(shard=Shard(1, 3))
    thread = threading.Thread(target=stage.run, args=(settings, zombie), name="frozen")
    thread.start()
    assert is_entered.wait(30)
    with ExitStack() as stack:
        begin(stack, settings, *shards_of(2))
        has_all(settings, ids)
        wakes.set()
        ids += publish(settings, writer)
        has_all(settings, ids)
        zombie.stop.set()
        thread.join(30)
        assert not thread.is_alive()
    assert table_ids(settings) == ids


def test_one_shard_is_gone_and_the_others_go_on_with_their_own(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = publish(settings, writer)
    with ExitStack() as others:
        begin(others, settings, Shard(0, 2))
        with ExitStack() as stack:
            begin(stack, settings, Shard(1, 2))
            has_all(settings, ids)
        ids += publish(settings, writer)
        wait_for(lambda: len(table_ids(settings)) > EVENTS, "the events of the shard that is there")
        begin(others, settings, Shard(1, 2))
        has_all(settings, ids)


def test_a_shard_without_partitions_idles_and_says_so(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    publish(settings, writer)
    number = settings.topics.partitions + 1
    with running(stage.run, settings, Standalone(shard=Shard(number - 1, number))) as control:
        wait_for(lambda: control.progress.state.kind is Activity.IDLE, "it to say that it has nothing to do")
        assert "has no partition" in control.progress.state.reason
