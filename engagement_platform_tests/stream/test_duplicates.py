"""What a publisher publishes twice, as Debezium does at least once, reaches each sink once."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.redis.views import Views
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.progress import DUPLICATES
from engagement_platform.domain.shards import shards_of
from engagement_platform.local.receiver import Receiver
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.stage import loader
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.partner import message
from engagement_platform_tests.streaming import drain, read_all, running, wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
from engagement_platform_tests.warehouse import table_ids

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC).isoformat()


def logged(number: int) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of an event; three each are of one transaction."""
    transaction, at = divmod(number, 3)
    sequence = json.dumps([str(transaction * 100) if transaction else None, str(transaction * 100 + at * 10 + 10)])
    source = {"name": "outbox", "db": "media", "txId": transaction, "ts_us": transaction, "sequence": sequence}
    return (("source", json.dumps(source).encode()),)


def publish(settings: Settings, numbers: Iterable[int]) -> None:
    ensure_topics(settings)
    contents = [f"00000000-0000-4000-8000-{number % 10:012d}" for number in numbers]
    send_all(
        settings.kafka,
        (
            Message(
                settings.topics.events,
                content.encode(),
                message(number, content_id=content, event_ts=NOW),
                logged(number),
            )
            for number, content in zip(numbers, contents, strict=True)
        ),
    )


@pytest.fixture
def partner() -> Iterator[Receiver]:
    with Receiver() as partner:
        yield partner


@pytest.fixture
def settings(settings: Settings, partner: Receiver) -> Settings:
    ensure_schema(settings)
    return settings.replace(api_url=partner.url, stage_batch_rows=10, stage_seconds=0.5)


@pytest.fixture
def views(settings: Settings) -> Iterator[Views]:
    views = Views.connect(settings)
    yield views
    views.close()


def test_each_sink_has_each_event_once_also_in_a_run_that_begins_within_what_comes_again(
    settings: Settings, views: Views
) -> None:
    for begin, end in ((0, 31), (10, 25), (20, 40), (5, 50)):
        publish(settings, range(begin, end))
        drain(tally.run, settings)
        drain(stage.run, settings)
    assert len(read_all(settings, settings.topics.events)) == 31 + 15 + 20 + 45
    publish(settings, range(40, 50))
    loops = [drain(tally.run, settings), drain(stage.run, settings)]
    assert [loop.progress.figures().count(DUPLICATES) for loop in loops] == [10, 10]
    assert stage.backlog(settings) == 0, "what was left out waits no more"
    assert views.totals().count == 50
    assert table_ids(settings) == list(range(50))


def test_a_partner_gets_each_event_once_from_one_run(settings: Settings, partner: Receiver) -> None:
    def delivered() -> list[int]:
        return sorted(each.event_id for each in partner.deliveries if each.event_id is not None)

    with running(forward.run, settings) as control:
        for begin, end in ((0, 31), (10, 25), (20, 40), (5, 50)):
            publish(settings, range(begin, end))
            wait_for(lambda end=end: len(delivered()) >= max(31, end), "the events")  # type: ignore[misc]
        wait_for(lambda: control.progress.lag == 0, "the doubles to be read")
    assert delivered() == list(range(50))


def test_views_that_are_built_anew_count_each_event_once(settings: Settings, views: Views) -> None:
    publish(settings, range(31))
    publish(settings, range(10, 40))
    drain(tally.run, settings)
    before = views.snapshot().meta["generation"]
    rebuild_views(settings)
    drain(tally.run, settings)
    assert views.snapshot().meta["generation"] != before
    assert views.totals().count == 40
    publish(settings, range(20, 45))
    drain(tally.run, settings)
    assert views.totals().count == 45, "the new views have where the messages stand"


def test_a_load_that_was_left_open_is_completed_without_what_came_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, range(20))
    drain(stage.run, settings)
    publish(settings, [*range(5, 20), *range(15, 30)])

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loader, "deliver", killed)
        with pytest.raises(Killed):
            drain(stage.run, settings)
    with Loads.opened(settings, "test") as loads:
        assert loads.open_loads(open_warehouse(settings).ensure(ENGAGEMENT_EVENTS))
    drain(stage.run, settings)
    assert table_ids(settings) == list(range(30))


def test_shards_that_take_partitions_over_know_what_came_again(settings: Settings, views: Views) -> None:
    end = 0
    for number in (1, 3, 2):
        publish(settings, range(max(0, end - 15), end + 30))
        end += 30
        with ExitStack() as stack:
            for shard in shards_of(number):
                stack.enter_context(running(tally.run, settings, Standalone(shard=shard)))
                stack.enter_context(running(stage.run, settings, Standalone(shard=shard)))
            wait_for(lambda end=end: views.totals().count >= end, "the views")  # type: ignore[misc]
            wait_for(lambda end=end: len(table_ids(settings)) >= end, "the table")  # type: ignore[misc]
    drain(tally.run, settings)
    drain(stage.run, settings)
    assert views.totals().count == end
    assert table_ids(settings) == list(range(end))
