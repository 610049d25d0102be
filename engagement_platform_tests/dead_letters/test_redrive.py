"""Redriving dead letters, with the real servers and a partner who changes his mind."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from engagement_platform.adapters import streams
from engagement_platform.adapters.kafka.topics import ensure_topics, shown_topics
from engagement_platform.adapters.platform.dead_letters import DeadLetterActions, open_actions
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.dead_letters import redrive
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.dead_letters.redrive import Redriven
from engagement_platform.domain.dead_letters import Address, Chosen
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.messages import HEADER_TO, TO_API
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import STREAM, Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.numbering import history_of
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.dead_letters.support import bury, found, letter, states
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.streaming import drain, read_all
from engagement_platform_tests.streams import PACKAGED
from engagement_platform_tests.warehouse import DAY, write

EVERYTHING = Chosen()


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


def die(*_: object, **__: object) -> None:
    raise Killed


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def ours(settings: Settings, receiver: Receiver) -> Settings:
    """Settings with a partner and groups of their own."""
    changes = {"api_url": SecretStr(receiver.url), "forward_group": f"forward-{settings.topics.events}"}
    return settings.replace(**changes)


def act(settings: Settings, chosen: Chosen = EVERYTHING, *, dry_run: bool = False) -> list[Redriven]:
    told: list[Redriven] = []
    done, failed = redrive.redrive(settings, chosen, "me@here", "a test", told.extend, dry_run=dry_run)
    assert [each.done for each in told].count(True) == done
    assert len(told) == done + failed
    return told


def days_due(settings: Settings) -> list[tuple[Any, str]]:
    with DueDays.opened(settings, "test") as due_days:
        return [(due.day, due.reason) for due in due_days.all()]


def replayed(settings: Settings) -> list[bytes]:
    return [record.value for record in read_all(settings, settings.topics.replays)]


def test_the_partner_gets_what_it_refused_before_with_the_same_key(
    ours: Settings, receiver: Receiver, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 4)
    drain(relay.run, ours)
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-2", "engagement-event-3"})))
    drain(forward.run, ours)
    assert states(ours) == {2: "open", 3: "open"}
    receiver.behave(Behaviour())
    assert [each.note for each in act(ours, Chosen(event_ids=[3]))] == [f"to {ours.topics.replays} for the API"]
    assert states(ours) == {2: "open", 3: "redriven"}
    drain(forward.run, ours)
    assert sorted(each.key for each in receiver.deliveries) == [f"engagement-event-{n}" for n in (1, 3, 4)]
    (kept,) = found(ours, Chosen(event_ids=[3]))
    (action,) = kept.actions
    assert (action.kind, action.who, action.why, action.outcome) == ("redrive", "me@here", "a test", "done")
    assert action.ended_at is not None
    assert timedelta(0) <= action.ended_at - action.begun_at < timedelta(minutes=1)


def test_an_event_that_is_not_in_its_letter_is_the_relay_s_message_to_the_byte(
    ours: Settings, writer: psycopg.Connection[Any]
) -> None:
    writer.execute(
        "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
        "VALUES ('00000000-0000-4000-8000-000000000001', 's', 'عنوان', 'video', 60, now())"
    )
    write(writer, 1, content_id="00000000-0000-4000-8000-000000000001", raw_payload=Jsonb({"a": [1.5]}))
    drain(relay.run, ours)
    (published,) = read_all(ours, ours.topics.events)
    bury(ours, [letter(1, keeps=False)])
    act(ours)
    (sent,) = read_all(ours, ours.topics.replays)
    assert (sent.key, sent.value) == (published.key, published.value)
    assert (HEADER_TO, TO_API) in sent.headers


def test_what_was_too_large_reaches_the_partner_once_the_topic_takes_it_and_the_warehouse_by_its_day(
    ours: Settings, receiver: Receiver, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 1, raw_payload=Jsonb("x" * 1_200_000))
    drain(relay.run, ours)
    (told,) = act(ours)
    assert not told.done
    assert "too large" in told.note
    assert days_due(ours) == [(DAY, "redrive of dead letter 0:0")]
    assert states(ours) == {1: "open"}

    with admin(ours.kafka) as client:
        roomier = f"{ours.topics.replays}-2"
        client.create_topics({roomier: {"configs": {"max.message.bytes": "3000000"}}}, wait_for_metadata=True)
    ours = ours.replace(replay_topic=roomier)
    assert [each.done for each in act(ours)] == [True]
    drain(forward.run, ours)
    assert [each.key for each in receiver.deliveries] == ["engagement-event-1"]
    assert states(ours) == {1: "redriven"}


def test_a_letter_of_the_stage_has_its_day_rebuilt_and_nothing_goes_to_the_partner(
    ours: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 2)
    bury(ours, [letter(2, "stage"), letter(77, "stage"), letter(None, "stage")])
    assert [each.done for each in act(ours)] == [True, False, False]
    assert days_due(ours) == [(DAY, "redrive of dead letter 0:0")]
    assert states(ours) == {2: "redriven", 77: "open", None: "open"}
    assert replayed(ours) == []
    assert found(ours, Chosen(event_ids=[77]))[0].actions[0].note == "the source has no event 77"


@pytest.mark.parametrize("place", [(redrive, "send_all"), (DeadLetterActions, "end")])
def test_a_redrive_that_dies_is_seen_and_done_again(
    ours: Settings, monkeypatch: pytest.MonkeyPatch, place: tuple[object, str]
) -> None:
    bury(ours, [letter(1), letter(2)])
    with monkeypatch.context() as patched:
        patched.setattr(*place, die)
        with pytest.raises(Killed):
            act(ours, Chosen(event_ids=[1]))
    assert states(ours) == {1: "redriving", 2: "open"}
    act(ours, Chosen(event_ids=[1]))
    assert states(ours) == {1: "redriven", 2: "open"}
    assert set(replayed(ours)) == {bytes(letter(1).event)}
    (kept,) = found(ours, Chosen(event_ids=[1]))
    assert [action.outcome for action in kept.actions] == ["failed", "done"]


def test_a_dry_run_says_the_same_and_changes_nothing(
    ours: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 1)
    bury(ours, [letter(9), letter(1, "stage"), letter(5, "stage")])
    with monkeypatch.context() as patch:
        patch.setattr(redrive, "number_now", die)  # a number is kept for ever
        told = act(ours, dry_run=True)
    assert (set(states(ours).values()), days_due(ours)) == ({"open"}, [])
    assert not shown_topics(ours.kafka, ours.topics.replays)
    assert [(each.letter.address, each.note) for each in told] == [
        (each.letter.address, each.note) for each in act(ours)
    ]


def test_letters_are_redriven_some_at_a_time(ours: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "_MAX_LETTERS", 2)
    bury(ours, [letter(number) for number in range(5)])
    times: list[int] = []
    redrive.redrive(
        ours, Chosen(addresses=[Address(0, n) for n in (0, 1, 2, 4)]), "", "", lambda s: times.append(len(s))
    )
    assert times == [2, 2]
    assert sorted(replayed(ours)) == [bytes(letter(number).event) for number in (0, 1, 2, 4)]
    assert states(ours)[3] == "open"


def test_one_person_at_a_time(ours: Settings) -> None:
    bury(ours, [letter(1)])
    with dead_letters_of(ours) as letters:
        topic_id = letters.topic_id
    with open_actions(ours, topic_id, alone=True):
        with pytest.raises(EngagementError, match="Somebody else"):
            act(ours)
        assert [each.done for each in act(ours, dry_run=True)] == [True]
    assert [each.done for each in act(ours)] == [True]


def test_the_letters_of_a_topic_that_was_created_again_are_others(ours: Settings) -> None:
    bury(ours, [letter(1)])
    act(ours)
    other = ours.replace(dead_letter_topic=f"{ours.topics.dead_letters}-2")
    ensure_topics(other)
    bury(other, [letter(2)])
    assert states(other) == {2: "open"}


def test_what_the_source_gives_now_has_the_number_of_its_columns_though_the_relay_has_not_come_to_it(
    ours: Settings, receiver: Receiver, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redrive gives the number; forward reads by it, and the relay that begins later has the same."""
    write(writer, 2)
    drain(relay.run, ours)
    bury(ours, [letter(1, keeps=False), letter(2)])
    columns, _, tables = PACKAGED.enriched.partition("\n  FROM ")
    stream = replace(PACKAGED, enriched=f"{columns},\n       event.duration_ms + 1 AS more\n  FROM {tables}")
    monkeypatch.setattr(streams, "streams", lambda: {STREAM: stream})
    assert [told.done for told in act(ours)] == [True, True]
    sent = {json.loads(record.value)["id"]: record for record in read_all(ours, ours.topics.replays)}
    assert [dict(sent[number].headers)["schema-version"] for number in (1, 2)] == [b"2", b"1"]
    assert json.loads(sent[1].value)["more"] == 1006
    drain(forward.run, ours)
    assert {"engagement-event-1", "engagement-event-2"} <= {each.key for each in receiver.deliveries}
    write(writer, 1)
    drain(relay.run, ours)
    assert list(history_of(ours).numbered) == [1, 2]
    last = max(read_all(ours, ours.topics.events), key=lambda record: int(json.loads(record.value)["id"]))
    assert dict(last.headers)["schema-version"] == b"2"
