"""Whatever a column of the source can hold goes through all sinks, and a rebuild writes the same."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.kafka.dead_letters import dead_letter_of
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.views import Views
from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.domain.dead_letters import Chosen, DeadLetter
from engagement_platform.domain.signing import event_key
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.partner import SECRETS, SIGNING_KEY
from engagement_platform_tests.stream.forward.support import received
from engagement_platform_tests.streaming import drain, read_all
from engagement_platform_tests.streams import PACKAGED
from engagement_platform_tests.warehouse import oracle_rows, table_rows

CONTENT = UUID(int=1)
DEEP = "[" * 1_100 + "]" * 1_100
WIDENED = """
ALTER TABLE content DROP CONSTRAINT content_content_type_check;
ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_event_type_check;
ALTER TABLE engagement_events ALTER COLUMN duration_ms TYPE bigint;
ALTER TABLE content ALTER COLUMN length_seconds TYPE bigint;
"""

STRANGE: dict[str, dict[str, Any]] = {
    "a new type of event": {"event_type": "sneeze"},
    "an empty type of event": {"event_type": ""},
    "a long text": {"event_type": "x" * 50_000, "device": "عنوان 🎧 " * 5_000},
    "text that steers": {"event_type": 'a"b\\c\x01\x7f\n', "device": "\u2028\ufeff\u0085"},
    "2^31": {"duration_ms": 2**31},
    "-2^31 - 1": {"duration_ms": -(2**31) - 1},
    "2^53 + 1": {"duration_ms": 2**53 + 1},
    "the largest": {"duration_ms": 2**63 - 1},
    "the smallest": {"duration_ms": -(2**63)},
    "nested 1,100 deep": {"raw_payload": DEEP},
    "nested 3,000 deep, in a new type": {"raw_payload": '{"a": ' * 3_000 + "1" + "}" * 3_000, "event_type": "new"},
    "a number beyond a float": {"raw_payload": "[1e400, -1e-400, 123456789012345678901234567890.123]"},
    "a long number": {"raw_payload": "9" * 20_000},
    "a name twice": {"raw_payload": '{"a": 1, "a": 2, "": null}'},
    "escapes": {"raw_payload": '"\\ud83d\\ude00 \\u2028 \\" \\\\ \\u0001"'},
    "a text that looks like null": {"raw_payload": '"null"'},
    "null of JSON": {"raw_payload": "null"},
}


@pytest.fixture
def widened(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute(WIDENED)
        owner.execute(
            "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts)"
            " VALUES (%s, 's', 't', 'hologram', 1, now())",
            [CONTENT],
        )
        yield owner


@pytest.fixture
def partner(settings: Settings) -> Iterator[tuple[Settings, Receiver]]:
    with Receiver(SECRETS) as receiver:
        ours = {
            "api_url": SecretStr(receiver.url),
            "api_signing_key": SecretStr(SIGNING_KEY),
            "forward_group": f"forward-{settings.topics.events}",
        }
        yield settings.replace(**ours), receiver


def insert(owner: psycopg.Connection[Any], **columns: Any) -> int:
    values = {"event_type": "play", "duration_ms": 5, "device": "ios", "raw_payload": "{}"} | columns
    row = owner.execute(
        "INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, device, raw_payload) VALUES"
        " (%(content)s, %(event_type)s, now(), %(duration_ms)s, %(device)s, %(raw_payload)s::jsonb) RETURNING id",
        values | {"content": CONTENT},
    ).fetchone()
    assert row is not None
    return int(row[0])


def letters(settings: Settings) -> list[DeadLetter]:
    return [dead_letter_of(record).content for record in read_all(settings, settings.topics.dead_letters)]


def views_of(settings: Settings) -> dict[str, dict[str, list[int]]]:
    with connect_redis(settings.redis) as client:
        return Views(client, settings.redis.namespace, PACKAGED).snapshot().views


def test_strange_values_go_through_all_sinks_and_a_rebuild_writes_the_same(
    widened: psycopg.Connection[Any], source_db: SourceDatabase, partner: tuple[Settings, Receiver]
) -> None:
    settings, receiver = partner
    ids = {name: insert(widened, **columns) for name, columns in STRANGE.items()}
    for loop in (relay.run, tally.run, stage.run, forward.run):
        drain(loop, settings)
    assert letters(settings) == []
    assert received(receiver) == set(ids.values())

    streamed, expected = table_rows(settings), oracle_rows(source_db)
    assert {row["id"] for row in streamed} == set(ids.values())
    for row, same in zip(streamed, expected, strict=True):
        assert row == same
    rebuild_days(settings, sorted({row["event_ts"].date() for row in streamed}), "run")
    assert table_rows(settings) == expected

    views = views_of(settings)
    # A score of Redis is a double: the exact sum, rounded once.
    total = int(float(sum(columns.get("duration_ms", 5) for columns in STRANGE.values())))
    assert views["content"] == {str(CONTENT): [len(STRANGE), total]}
    assert views["content_type"] == {"hologram": [len(STRANGE), total]}
    assert set(views["device"]) == {columns.get("device", "ios") for columns in STRANGE.values()}


def test_letters_of_deep_events_have_their_ids_and_are_redriven(
    widened: psycopg.Connection[Any], partner: tuple[Settings, Receiver]
) -> None:
    """A partner that refuses such an event, then takes it."""
    settings, receiver = partner
    number = insert(widened, raw_payload=DEEP, event_type="sneeze", duration_ms=2**40)
    receiver.behave(Behaviour(poison=frozenset({event_key("engagement", number)})))
    for loop in (relay.run, forward.run):
        drain(loop, settings)
    (letter,) = letters(settings)
    assert (letter.event_id, letter.source) == (number, "forward")
    assert DEEP.encode() in bytes(letter.event)

    receiver.behave(Behaviour())
    assert redrive(settings, Chosen(event_ids=[number]), "me", "mended") == (1, 0)
    drain(forward.run, settings)
    assert received(receiver) == {number}
    assert len(letters(settings)) == 1
