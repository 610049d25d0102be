"""A bad deploy does not make a dead letter of each message: forward stops, and goes on after the fix."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.give_up import give_up
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.domain.records import Reader
from engagement_platform.domain.rejections import FIRST_ALLOWED, MAX_ALLOWED
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import ids_of, letter_ids, letters, publish, received
from engagement_platform_tests.streaming import drain, running, wait_for


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.2)


def reject_from(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Deploy a reader that takes no event from this id on."""
    decode = Reader.decode

    def broken(reader: Reader, value: bytes) -> Any:
        event = decode(reader, value)
        if event.id >= number:
            raise ValueError
        return event

    monkeypatch.setattr(Reader, "decode", broken)


def send_bad(settings: Settings, number: int) -> None:
    send_all(settings.kafka, [Message(settings.topics.events, b"bad", b'{"id": %d}' % at) for at in range(number)])


def test_after_a_bad_deploy_it_goes_on_from_where_it_was_and_delivers_each_once(to: To, receiver: Receiver) -> None:
    """A slow partner has events of before under way when it stops; restarts while it stands still change nothing."""
    ids = publish(to(), range(300))
    with pytest.MonkeyPatch.context() as broken:
        reject_from(broken, 300)
        slow = to(api_in_flight=1, api_batch_size=50)
        ids += publish(to(), range(300, 500))
        with running(forward.run, slow) as control:
            wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
            assert "not an event" in in_words(control.progress.state)
            assert "give-up forward" in control.progress.state.remedy
        for _ in range(2):
            with pytest.raises(StreamStopped, match="messages in hand"):
                drain(forward.run, slow)
    few = letter_ids(to())
    assert len(few) <= MAX_ALLOWED
    drain(forward.run, to())
    assert sorted(ids_of(receiver.deliveries)) == sorted(set(ids) - few)
    assert letter_ids(to()) == few


def has_letters(settings: Settings, number: int) -> Callable[[], bool]:
    return lambda: len(letters(settings)) == number


def test_bad_messages_alone_are_letters_until_there_are_too_many(to: To, receiver: Receiver) -> None:
    publish(to(), range(2))
    with running(forward.run, to()) as control:
        wait_for(lambda: received(receiver) == {0, 1}, "the events")
        for number in range(FIRST_ALLOWED):
            send_bad(to(), 1)
            wait_for(has_letters(to(), number + 1), "the letter")
        send_bad(to(), 1)
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert f"after {FIRST_ALLOWED} that it has given up" in control.progress.state.reason
    assert len(letters(to())) == FIRST_ALLOWED


def test_an_operator_lets_it_give_up_what_another_program_wrote(
    to: To, receiver: Receiver, in_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_schema(to())
    publish(to(), range(5))
    send_bad(to(), 60)
    publish(to(), range(5, 10))
    monkeypatch.setenv("ENGAGEMENT_FORWARD_GROUP", to().topics.forward_group)
    with running(forward.run, to()) as control:
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert CliRunner().invoke(give_up, ["forward", "--yes"]).exit_code == 0
        wait_for(lambda: received(receiver) == set(range(10)), "the events behind them")
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "it to go on")
    assert len(letters(to())) == 60
    assert sorted(ids_of(receiver.deliveries)) == list(range(10))
