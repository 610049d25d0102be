"""One id follows a batch from the relay to each sink, and the offsets say which of its messages each has handled."""

import logging
from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.partner import SECRETS, SIGNING_KEY
from engagement_platform_tests.streaming import drain, insert, read_all, running, wait_for


@pytest.fixture
def partnered(settings: Settings) -> Iterator[Settings]:
    with Receiver(SECRETS) as receiver:
        yield settings.replace(
            api_url=SecretStr(receiver.url),
            api_signing_key=SecretStr(SIGNING_KEY),
            forward_group=f"forward-{settings.topics.events}",
        )


def test_each_sink_names_the_batches_of_the_relay_and_their_offsets(
    partnered: Settings, source_db: SourceDatabase, batch_lines: list[logging.LogRecord]
) -> None:
    def so_far() -> int:
        return sum(line.__dict__["events"] for line in batch_lines)

    with running(relay.run, partnered), psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        insert(owner, 3)
        wait_for(lambda: so_far() == 3, "the first batch")
        insert(owner, 2)
        wait_for(lambda: so_far() == 5, "the second batch")
    published = {line.__dict__["batch"]: line.__dict__ for line in batch_lines}
    assert [line["events"] for line in published.values()] == [3, 2]
    assert [line["ids"][1] - line["ids"][0] for line in published.values()] == [2, 1]

    messages = read_all(partnered, partnered.topics.events)
    offsets: dict[str, list[int]] = {}
    for message in messages:
        offsets.setdefault(str(message.partition), []).append(message.offset)
    for loop, word in ((tally.run, "counted"), (stage.run, "loaded"), (forward.run, "delivered")):
        batch_lines.clear()
        drain(loop, partnered)
        told = [line.__dict__ for line in batch_lines]
        assert {line["message"] if "message" in line else line["msg"] for line in told} == {word}
        assert {batch for line in told for batch in line["batches"]} == set(published)
        assert sum(line["events"] for line in told) == len(messages)
        for partition, there in offsets.items():
            ranges = [line["offsets"][partition] for line in told if partition in line["offsets"]]
            assert min(first for first, _ in ranges) <= min(there)
            assert max(there) <= max(last for _, last in ranges)
