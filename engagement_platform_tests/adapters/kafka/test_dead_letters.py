"""Reading the real topic of dead letters."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engagement_platform.adapters.kafka.dead_letters import UNREADABLE, DeadLetterReader, open_dead_letters
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.domain.dead_letters import Address, Letter, encode_dead_letter
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.dead_letters.support import bury, letter
from engagement_platform_tests.streaming import wait_for

HOURS = timedelta(hours=2)


@pytest.fixture
def reader(settings: Settings) -> Iterator[DeadLetterReader]:
    bury(settings, [letter(number) for number in range(5)])
    with open_dead_letters(settings.kafka, settings.topics.dead_letters) as made:
        yield made


def ids(letters: Iterator[Letter]) -> list[int | None]:
    return [each.content.event_id for each in letters]


def test_letters_come_by_address_with_all_that_was_written(reader: DeadLetterReader) -> None:
    found = list(reader.between())
    assert [each.address for each in found] == [Address(0, offset) for offset in range(5)]
    assert found[3].content.event == letter(3).event
    assert ids(reader.between()) == list(range(5))


def test_a_time_narrows_what_is_read(reader: DeadLetterReader) -> None:
    now = datetime.now(UTC)
    assert ids(reader.between(since=now - HOURS)) == ids(reader.between(until=now + HOURS)) == list(range(5))
    assert ids(reader.between(since=now + HOURS)) == ids(reader.between(until=now - HOURS)) == []
    assert ids(reader.between(since=datetime(1, 1, 1, tzinfo=UTC))) == list(range(5))


def test_single_letters_and_none_where_none_lies(reader: DeadLetterReader) -> None:
    assert ids(reader.at([Address(0, 3), Address(0, 1)])) == [1, 3]
    assert ids(reader.at([Address(0, 5), Address(7, 0), Address(0, 99)])) == []
    assert ids(reader.at([Address(0, 4), Address(0, 99)])) == [4]


def test_transactions_leave_offsets_without_letters(reader: DeadLetterReader, settings: Settings) -> None:
    with open_producer(settings, 1 << 20) as producer:
        producer.fence()
        for number in (10, 11):
            producer.commit([Message(settings.topics.dead_letters, None, encode_dead_letter(letter(number)))])
    # Kafka says that a commit is done before it has marked its end in the partition.
    wait_for(lambda: ids(reader.between()) == [0, 1, 2, 3, 4, 10, 11], "both letters to be readable")
    assert ids(reader.at([Address(0, 6)])) == []
    assert ids(reader.at([Address(0, 7)])) == [11]


def test_what_is_no_letter_is_shown_as_one(reader: DeadLetterReader, settings: Settings) -> None:
    values = (b"\xff\xfe", b'{"source": 7}', b'{"source":"later","event_id":1,"reason":"r","excerpt":"","at":"x"}')
    send_all(
        settings.kafka, [Message(settings.topics.dead_letters, b"77", value) for value in (*values, b"[" * 100_000)]
    )
    strange = list(reader.between())[5:]
    assert [each.content.source for each in strange] == [UNREADABLE] * 4
    assert {each.content.event_id for each in strange} == {77}
    assert all(each.content.reason.startswith("not a dead letter: ") for each in strange)
    assert strange[1].content.excerpt == '{"source": 7}'
    assert datetime.now(UTC) - strange[0].content.at < HOURS


def test_a_topic_that_is_not_there_is_said(settings: Settings) -> None:
    with (
        pytest.raises(Unavailable, match="has no topic"),
        open_dead_letters(settings.kafka, settings.topics.dead_letters),
    ):
        pass
