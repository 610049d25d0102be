"""Traces over real servers: an event that went everywhere, and those that did not."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from engagement_platform.cli import group
from engagement_platform.console.serve.trace_words import english
from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.trace.trace import Mark, Place, Trace
from engagement_platform.health.trace import trace
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import INSERT, drain, running, wait_for
from engagement_platform_tests.warehouse import write

CONTENT = "00000000-0000-4000-8000-000000000001"
PLACES = tuple(Place)


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
            f"VALUES ('{CONTENT}', 's', 'A title', 'video', 60, now())"
        )
        yield connection


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def ours(settings: Settings, receiver: Receiver) -> Settings:
    return settings.replace(api_url=SecretStr(receiver.url), forward_group=f"forward-{settings.topics.events}")


def now_events(writer: psycopg.Connection[Any], n: int = 1) -> list[int]:
    return [row[0] for row in writer.execute(INSERT, {"n": n, "content": CONTENT}).fetchall()]


def drain_all(settings: Settings) -> None:
    for loop in (relay.run, tally.run, stage.run, forward.run):
        drain(loop, settings)


def kinds(found: Trace) -> dict[str, str]:
    return {step.place.value: step.said.kind for step in found.steps}


def notes(found: Trace, place: Place) -> list[str]:
    return [english(note) for note in found.step(place).notes]


def test_an_event_that_went_everywhere_one_late_and_one_that_the_partner_refuses(
    ours: Settings, receiver: Receiver, writer: psycopg.Connection[Any]
) -> None:
    everywhere, refused = now_events(writer, 2)
    (late,) = write(writer, 1, date(2026, 3, 1), content_id=CONTENT)
    receiver.behave(Behaviour(poison=frozenset({f"engagement-event-{refused}"})))
    drain_all(ours)

    found = trace(ours, everywhere)
    assert {step.mark for step in found.steps} == {Mark.THERE}, list(map(english, (s.said for s in found.steps)))
    assert notes(found, Place.REDIS) == [
        f"content: {CONTENT}, with 2 events in this bucket",
        "content_type: video, with 2 events in this bucket",
        "device: ios, with 2 events in this bucket",
    ]
    assert any(note.startswith("In the file event_date=") for note in notes(found, Place.WAREHOUSE))
    kafka = found.step(Place.KAFKA)
    assert kafka.at is not None
    assert abs((datetime.now(UTC) - kafka.at).total_seconds()) < 120

    found = trace(ours, late)
    assert kinds(found) == {
        "source": "source.present",
        "kafka": "kafka.there",
        "redis": "redis.late",
        "warehouse": "warehouse.loaded",
        "partner": "partner.delivered",
    }

    found = trace(ours, refused)
    assert found.step(Place.PARTNER).said.kind == "partner.letter"
    told = notes(found, Place.PARTNER)
    assert "status 422" in told[0]
    assert "halved" in told[0]
    assert any("dead letter" in note for note in told)
    receiver.behave(Behaviour())
    redrive(ours, Chosen(event_ids=[refused]), "ana@here", "they have mended it")
    drain(forward.run, ours)
    found = trace(ours, refused)
    assert (found.step(Place.PARTNER).mark, found.step(Place.PARTNER).said.kind) == (
        Mark.THERE,
        "partner.delivered",
    )
    assert any("by ana@here: done" in note for note in notes(found, Place.PARTNER))


def test_events_of_a_rebuilt_day_and_rows_that_are_gone(ours: Settings, writer: psycopg.Connection[Any]) -> None:
    day = date(2026, 3, 1)
    kept, deleted = write(writer, 2, day)
    drain(relay.run, ours)
    drain(stage.run, ours)
    writer.execute("DELETE FROM engagement_events WHERE id = %s", [deleted])
    writer.execute("UPDATE engagement_events SET device = 'web' WHERE id = %s", [kept])
    with writer.transaction():
        (rolled_back,) = now_events(writer)
        raise psycopg.Rollback
    now_events(writer)
    drain(relay.run, ours)
    rebuild_days(ours, [day], "run-1")

    found = trace(ours, kept)
    assert kinds(found)["warehouse"] == "warehouse.rebuilt"
    assert "Rebuilt by the run run-1." in notes(found, Place.WAREHOUSE)
    assert any("before" in note for note in notes(found, Place.WAREHOUSE))
    assert "The row is another one now than when it was published, in: device." in notes(found, Place.SOURCE)
    assert kinds(trace(ours, deleted)) == {
        "source": "source.deleted",
        "kafka": "kafka.there",
        "redis": "redis.empty",
        "warehouse": "warehouse.not_in_source",
        "partner": "partner.waits",
    }
    with running(relay.run, ours):
        wait_for(lambda: kinds(trace(ours, rolled_back))["source"] == "source.rolled_back", "the gap to be given up")
    assert kinds(trace(ours, rolled_back)) == {
        "source": "source.rolled_back",
        "kafka": "kafka.nothing",
        "redis": "redis.not_published",
        "warehouse": "warehouse.not_published",
        "partner": "partner.not_published",
    }
    assert kinds(trace(ours, 999))["source"] == "source.not_given"


def test_an_event_whose_transaction_is_open_and_one_that_waits(
    ours: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    now_events(writer)
    with psycopg.connect(source_db.writer_dsn) as slow:
        (open_one,) = now_events(slow)
        now_events(writer)
        drain(relay.run, ours)
        assert kinds(trace(ours, open_one))["source"] == "source.gap"
    found = trace(ours, open_one)
    assert [found.step(place).mark for place in (Place.SOURCE, Place.KAFKA)] == [Mark.THERE, Mark.WAITS]
    drain(relay.run, ours)
    assert {
        place: step.mark for place in PLACES[1:] for step in trace(ours, open_one).steps if step.place is place
    } == {
        Place.KAFKA: Mark.THERE,
        Place.REDIS: Mark.WAITS,
        Place.WAREHOUSE: Mark.WAITS,
        Place.PARTNER: Mark.WAITS,
    }


def test_what_a_server_that_is_away_would_tell_is_not_known_and_the_rest_is(
    ours: Settings, writer: psycopg.Connection[Any]
) -> None:
    (number,) = now_events(writer)
    drain_all(ours)
    away = "postgresql://nobody@127.0.0.1:1/none"
    found = trace(ours.replace(redis_url=SecretStr("redis://127.0.0.1:1/0"), source_dsn=SecretStr(away)), number)
    assert [step.place.value for step in found.steps if step.mark is Mark.UNKNOWN] == ["source", "redis"]
    assert "does not answer" in english(found.step(Place.REDIS).said)
    found = trace(ours.replace(kafka_bootstrap_servers="127.0.0.1:1"), number)
    assert found.step(Place.KAFKA).mark is Mark.UNKNOWN
    assert found.step(Place.PARTNER).mark is Mark.THERE
    found = trace(ours.replace(platform_dsn=SecretStr(away)), number)
    assert {found.step(place).mark for place in (Place.SOURCE, Place.KAFKA)} == {Mark.THERE, Mark.UNKNOWN}


@pytest.mark.usefixtures("in_environment")
def test_the_command_tells_the_same_for_people_and_for_programs(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    (number,) = now_events(writer)
    drain(relay.run, settings)
    shown = CliRunner(env={"COLUMNS": "150"}).invoke(group, ["trace", str(number)])
    assert shown.exit_code == 0, shown.output
    assert f"Event {number} of engagement" in shown.output
    assert "No partner is set." in shown.output
    told = json.loads(CliRunner().invoke(group, ["trace", str(number), "--format", "json"]).output)
    assert told["places"]["kafka"]["values"]["offset"] == "0"
    assert CliRunner().invoke(group, ["trace", "x"]).exit_code == 2
