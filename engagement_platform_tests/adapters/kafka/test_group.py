"""What stands beside an offset, and what becomes of it when somebody else wrote it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.kafka import consumer, notes
from engagement_platform.adapters.kafka.group import GroupReader, Stored, _stored, note_of
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.conftest import CLIENTS
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually

AT = datetime(2026, 11, 26, 12, 30, 5, tzinfo=UTC)


@given(st.none() | st.just(AT), st.none() | st.integers(0, 20), st.sampled_from(["", "1.2:3,4;5.6:7"]))
def test_what_is_written_is_read(settled_to: datetime | None, credit: int | None, tried: str) -> None:
    stored = _stored(7, note_of("uuid", settled_to, credit, tried))
    assert stored == Stored(7, "uuid", "2026-11-26T12:30:05" if settled_to else "", credit, tried)


def test_what_an_older_version_wrote_is_read() -> None:
    assert _stored(7, "uuid 2026-11-26T12:30:05") == Stored(7, "uuid", "2026-11-26T12:30:05")


@given(st.text())
def test_what_somebody_else_wrote_breaks_nothing(note: str) -> None:
    stored = _stored(7, note)
    assert stored.offset == 7
    assert stored.credit is None or 0 <= stored.credit < 10**9


@given(st.text(st.characters(exclude_characters="\n\0")), st.text())
def test_a_note_is_read_to_its_end_and_not_beyond(note: str, behind: str) -> None:
    assert notes.safe(notes.ended(note) + behind) == notes.whole(notes.ended_by_zero(note)) == note


@given(st.lists(st.from_regex(r"[a-z0-9:.]{1,9}", fullmatch=True), max_size=4), st.text(st.characters(codec="ascii")))
def test_of_an_older_note_the_last_word_is_not_believed(words: list[str], behind: str) -> None:
    """Its end is not known: what lies behind it in memory may look like more of it."""
    read = notes.safe(" ".join(words) + behind.translate({ord(" "): None, ord("\n"): None}))
    assert read == " ".join(words[:-1])
    assert notes.whole(" ".join(words)) == " ".join(words)


@pytest.fixture
def topic(settings: Settings) -> Iterator[Topic]:
    topic = Topic(settings)
    yield topic
    topic.close()


@pytest.fixture
def reader(settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupReader]:
    monkeypatch.setattr(consumer, "REFRESH_MS", 200)
    reader = GroupReader(settings.kafka, topic.name, f"group-of-{topic.name}")
    yield reader
    reader.close()


def test_what_the_group_stores_every_client_reads(reader: GroupReader, settings: Settings) -> None:
    assert reader.stored() == {}
    reader.store({0: 7}, {0: note_of(reader.topic_id, AT, 3, "1.2:3")})
    for name in CLIENTS:
        other = GroupReader(settings.replace(kafka_client=name).kafka, reader.topic, f"group-of-{reader.topic}")
        assert other.stored() == {0: Stored(7, reader.topic_id, "2026-11-26T12:30:05", 3, "1.2:3")}
        other.close()


def test_a_note_for_which_kafka_has_no_room_loses_its_tries(reader: GroupReader) -> None:
    reader.store({0: 7, 1: 0}, {p: note_of(reader.topic_id, AT, 3, "1.2:3;" * 2_000) for p in (0, 1)})
    assert reader.stored()[0] == Stored(7, reader.topic_id, "2026-11-26T12:30:05", 3, "")


def test_who_holds_reads_nothing_and_goes_on_where_it_was(reader: GroupReader, topic: Topic) -> None:
    topic.send((event(n) for n in range(10)), partition=0)
    reader.resume({})
    polled: list[int] = []

    def poll() -> int:
        polled.extend(record.offset for record in reader.poll(20).get(0, ()))
        return len(polled)

    eventually(lambda: poll() == 10)
    reader.hold(holding=True)
    topic.send((event(n) for n in range(10)), partition=0)
    assert [poll() for _ in range(10)] == [10] * 10
    topic.widen(3)
    eventually(lambda: reader.follow_new_partitions() == {2})
    assert [poll() for _ in range(5)] == [10] * 5
    reader.hold(holding=False)
    eventually(lambda: poll() == 20)
    assert polled == [*range(10), *range(11, 21)]
    eventually(lambda: reader.poll(20) == {} and reader.at_end() == {0, 1, 2})
