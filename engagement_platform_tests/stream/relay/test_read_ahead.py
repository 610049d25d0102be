"""While Kafka commits, the relay reads on: what was read ahead is published once, in order, or thrown away."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters import streams
from engagement_platform.adapters.kafka.producer import Fenced, open_producer
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event_stream import Dimension, Measure, Views
from engagement_platform.domain.messages import HEADER_SCHEMA_VERSION
from engagement_platform.settings import STREAM, Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.relay.publisher import Publisher
from engagement_platform.stream.relay.read_ahead import Batch, ReadAhead
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.relay.sources import another, last_checkpoint, published, writer
from engagement_platform_tests.streaming import drain, insert, read_all
from engagement_platform_tests.streams import PACKAGED

__all__ = ["writer"]

ROWS = 20
VIEWS = Views((Dimension("device", "device"),), (Measure("count", None),))


@pytest.fixture
def in_parts(settings: Settings) -> Settings:
    """Settings by which a relay reads five events at a time."""
    return settings.replace(relay_batch_rows=5)


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[Batch]]:
    """Have something happen once, when a batch has been read ahead and the one before it is about to be committed.

    Returns where every batch is noted that was read ahead.
    """
    begin = ReadAhead.start

    def at_that_moment(act: Callable[[], object]) -> list[Batch]:
        batches: list[Batch] = []

        def start(self: ReadAhead, read: Callable[[], Batch]) -> None:
            begin(self, read)
            assert self._batch is not None
            batches.append(self._batch.result())
            if len(batches) == 1:
                act()

        monkeypatch.setattr(ReadAhead, "start", start)
        return batches

    return at_that_moment


Beside = Callable[[Callable[[], object]], list[Batch]]


def test_batches_that_were_read_ahead_are_published_once_and_in_order(
    in_parts: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], beside: Beside
) -> None:
    """Also an id that is committed late, while a batch read ahead has passed it."""
    with another(source_db) as late:
        drain(relay.run, in_parts)
        insert(writer, 3)
        [held] = insert(late)
        insert(writer, ROWS)
        batches = beside(late.commit)
        drain(relay.run, in_parts)
        drain(relay.run, in_parts)
    assert len(batches) >= 3
    assert published(in_parts) == list(range(1, ROWS + 5))
    assert last_checkpoint(in_parts).missing == []
    assert held == 4


def test_a_column_that_comes_while_a_batch_is_read_ahead_has_a_number_of_its_own(
    in_parts: Settings, writer: psycopg.Connection[Any], beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_all = replace(PACKAGED, enriched="SELECT * FROM engagement_events AS event", views=VIEWS)
    monkeypatch.setattr(streams, "streams", lambda: {STREAM: with_all})
    drain(relay.run, in_parts)
    insert(writer, ROWS)
    beside(lambda: writer.execute("ALTER TABLE engagement_events ADD extra int DEFAULT 1"))
    drain(relay.run, in_parts)
    assert published(in_parts) == list(range(1, ROWS + 1))
    numbers: dict[bool, set[bytes]] = {True: set(), False: set()}
    for record in read_all(in_parts, in_parts.topics.events):
        numbers["extra" in json.loads(record.value)].add(dict(record.headers)[HEADER_SCHEMA_VERSION])
    assert numbers[True], "the batches after it have the column"
    assert not numbers[True] & numbers[False], numbers


def test_a_relay_that_is_fenced_publishes_nothing_of_what_it_has_read_ahead(
    in_parts: Settings, writer: psycopg.Connection[Any], beside: Beside
) -> None:
    drain(relay.run, in_parts)
    insert(writer, ROWS)

    def fence() -> None:
        with open_producer(in_parts, 1_000_000) as later:
            later.fence()

    batches = beside(fence)
    drain(relay.run, in_parts)
    firsts = [batch.rows.rows[0].id for batch in batches if batch.rows.rows]
    assert firsts.count(6) == 2, "what was read ahead was read again"
    assert published(in_parts) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("error", [Unavailable("not known"), Fenced("shut out")], ids=["unknown", "fenced"])
def test_after_a_commit_of_unknown_outcome_what_was_read_ahead_is_thrown_away(
    in_parts: Settings,
    writer: psycopg.Connection[Any],
    beside: Beside,
    monkeypatch: pytest.MonkeyPatch,
    is_committed: bool,
    error: Exception,
) -> None:
    drain(relay.run, in_parts)
    insert(writer, ROWS)
    commit, failed = Publisher._commit, list[int]()

    def once(self: Publisher, messages: list[Any], ledger: Any) -> None:
        if not failed and messages:
            failed.append(ledger.hi)
            if is_committed:
                commit(self, messages, ledger)
            raise error
        commit(self, messages, ledger)

    monkeypatch.setattr(Publisher, "_commit", once)
    batches = beside(lambda: None)
    drain(relay.run, in_parts)
    assert failed == [5]
    assert batches[0].ledger.hi == 10
    assert published(in_parts) == list(range(1, ROWS + 1))


def test_what_is_read_ahead_is_taken_once_and_an_error_of_what_is_dropped_is_no_one_s() -> None:
    def fails() -> Batch:
        raise Unavailable("The source does not answer.")

    with ThreadPoolExecutor(1) as threads:
        ahead = ReadAhead(threads)
        assert ahead.take() is None
        ahead.start(fails)
        ahead.drop()
        assert ahead.take() is None
        ahead.start(fails)
        with pytest.raises(Unavailable):
            ahead.take()
        assert ahead.take() is None
