"""A user is erased at every sink, over real servers: with a record, the partner told, also after a kill."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.platform.erasures import Erasures
from engagement_platform.domain.batches import Rejected
from engagement_platform.domain.erasures import Erasure, State
from engagement_platform.history.erase import days_of_user
from engagement_platform.history.erasure import deliver_waiting, erase_everywhere, in_words, recorded, user_of
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.stage.batch_files import folder_of, keep_rejected
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.dead_letters.support import bury, letter
from engagement_platform_tests.partner import SECRETS, SIGNING_KEY
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import DAY, NEXT, table_rows, write

WHO = "anna@here"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A partner that takes what is signed, and nothing else."""
    with Receiver(SECRETS) as receiver:
        yield receiver


@pytest.fixture
def ours(settings: Settings, receiver: Receiver) -> Settings:
    return settings.replace(
        api_url=SecretStr(receiver.url),
        api_signing_key=SecretStr(SIGNING_KEY),
        forward_group=f"forward-{settings.topics.events}",
    )


@pytest.fixture
def user(ours: Settings, source_db: SourceDatabase) -> str:
    """A user whose two days went everywhere and whom the owner has deleted since; another user stays."""
    user = str(uuid4())
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        for day in (DAY, NEXT):
            write(owner, 2, day, user_id=user)
            write(owner, 1, day, user_id=str(uuid4()))
        for loop in (relay, stage, forward):
            drain(loop.run, ours)
        owner.execute("DELETE FROM engagement_events WHERE user_id = %s", [user])
    return user


def erase(settings: Settings, user: str) -> Erasure:
    days = days_of_user(settings, user)
    return erase_everywhere(
        settings, user_of(settings, user), days, WHO, lambda: rebuild_days(settings, days, "erase", allow_removal=True)
    )


def whole_record(settings: Settings) -> str:
    """Return all that the platform's database keeps of erasures and deliveries."""
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        tables = [
            connection.execute(f"SELECT coalesce(string_agg(t::text, ''), '') FROM engagement_platform.{name} AS t")
            for name in ("erasure", "delivery", "audit")
        ]
        return " ".join(str(row[0]) for table in tables for row in table.fetchall())


def test_a_user_is_erased_at_every_sink_and_the_record_says_so_without_the_id(
    ours: Settings, user: str, receiver: Receiver
) -> None:
    rejected = Rejected(7, "no event", f'{{"user_id": "{user}"}}'), Rejected(8, "no event", "another")
    keep_rejected(folder_of(ours), "batch_0@1-2", rejected)
    bury(ours, [letter(900, excerpt=f'{{"user_id": "{user}"'), letter(901)])
    assert user in whole_record(ours), "the record of deliveries had it"
    erasure = erase(ours, user)
    assert user not in {row["user_id"] for row in table_rows(ours)}
    assert len(table_rows(ours)) == 2
    assert user not in whole_record(ours)
    assert user not in (folder_of(ours) / "batch_0@1-2.rejected").read_text()
    assert "another" in (folder_of(ours) / "batch_0@1-2.rejected").read_text()
    (told,) = receiver.erased
    assert (told.stream, told.user) == ("engagement", user)
    assert receiver.state.unsigned == 0
    states = {sink: outcome.state for sink, outcome in erasure.outcomes.items()}
    assert states["warehouse"] == states["record of deliveries"] == State.ERASED
    assert states["files of rejected messages"] == State.ERASED
    assert states["partner"] == State.TOLD
    assert erasure.outcomes["dead letters"].note == "1 letters: 0:0"
    until = erasure.outcomes[f"Kafka's topic {ours.topics.events}"].until
    assert until is not None
    assert f"{until:%Y-%m-%d}" in in_words(erasure.outcomes[f"Kafka's topic {ours.topics.events}"])
    assert (erasure.who, erasure.ended_at is None) == (WHO, False)
    assert [one.number for one in recorded(ours, 9, user_of(ours, user))] == [erasure.number]
    assert recorded(ours, 9, user_of(ours, str(uuid4()))) == []


def test_what_is_still_in_kafka_does_not_come_back_into_the_warehouse(ours: Settings, user: str) -> None:
    erase(ours, user)
    drain(stage.run, ours)
    rebuild_days(ours, [DAY, NEXT], "later", allow_removal=True)
    assert days_of_user(ours, user) == []


def test_the_partner_is_told_once_it_can_be_under_one_id(ours: Settings, user: str, receiver: Receiver) -> None:
    receiver.behave(Behaviour(mode="error", status=503))
    waits = erase(ours, user)
    assert waits.outcomes["partner"].state is State.WAITING
    assert "503" in waits.answer
    assert deliver_waiting(ours) == 0, "it rests"
    again = erase(ours, user)
    assert (again.number, again.message_id, again.tries) == (waits.number, waits.message_id, 2)
    assert again.outcomes["warehouse"].state is State.ERASED, "that nothing was left to do takes nothing back"
    receiver.behave(Behaviour())
    let_rest_end(ours)
    assert deliver_waiting(ours) == 1
    assert [one.webhook_id for one in receiver.erased] == [waits.message_id]
    (told,) = recorded(ours, 9)
    assert told.outcomes["partner"].state is State.TOLD
    assert user not in whole_record(ours)
    assert deliver_waiting(ours) == 0
    assert erase(ours, user).number != waits.number, "one that is at its end is another erasure"


def let_rest_end(settings: Settings) -> None:
    with Erasures.opened(settings, "test") as erasures:
        erasures.session.execute("UPDATE {schema}.erasure SET next_try_at = now()")


def test_the_partner_is_told_behind_the_events_that_wait_for_it(
    ours: Settings, source_db: SourceDatabase, receiver: Receiver
) -> None:
    user = str(uuid4())
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        write(owner, 2, user_id=user)
        drain(relay.run, ours)
        drain(stage.run, ours)
        owner.execute("DELETE FROM engagement_events")
    waits = erase(ours, user)
    assert waits.outcomes["partner"].state is State.WAITING
    assert "wait for the partner" in waits.outcomes["partner"].note
    assert receiver.erased == []
    drain(forward.run, ours)
    assert len(receiver.deliveries) == 2
    let_rest_end(ours)
    assert deliver_waiting(ours) == 1
    assert len(receiver.erased) == 1


KILLED = """
import os, signal, sys
from engagement_platform.history.erase import days_of_user
from engagement_platform.history.erasure import erase_everywhere, user_of
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import load
settings, user = load("engagement"), sys.argv[1]
days = days_of_user(settings, user)
def rebuild():
    rebuild_days(settings, days, "erase", allow_removal=True)
    os.kill(os.getpid(), signal.SIGKILL)
erase_everywhere(settings, user_of(settings, user), days, "anna@here", rebuild)
"""


def test_one_that_was_killed_goes_on(
    ours: Settings, user: str, receiver: Receiver, in_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_API_URL", receiver.url)
    monkeypatch.setenv("ENGAGEMENT_API_SIGNING_KEY", SIGNING_KEY)
    monkeypatch.setenv("ENGAGEMENT_FORWARD_GROUP", ours.topics.forward_group)
    killed = subprocess.run([sys.executable, "-c", KILLED, user], check=False)
    assert killed.returncode == -signal.SIGKILL
    (begun,) = recorded(ours, 9)
    assert (begun.ended_at, dict(begun.outcomes)) == (None, {})
    ended = erase(ours, user)
    assert ended.number == begun.number
    assert ended.ended_at is not None
    assert len(receiver.erased) == 1
    assert user not in whole_record(ours)


def test_without_a_partner_nobody_is_told(settings: Settings, source_db: SourceDatabase) -> None:
    drain(relay.run, settings)
    erasure = erase(settings, str(uuid4()))
    assert erasure.outcomes["partner"].state is State.NOTHING
    assert erasure.outcomes["warehouse"].state is State.NOTHING
