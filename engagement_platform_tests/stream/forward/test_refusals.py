"""A partner that refuses everything, an operator who decides, and tries that are counted over several runs."""

import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from engagement_platform.adapters.kafka.group import GroupReader, note_of
from engagement_platform.adapters.platform import forwarded
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.give_up import forward as command
from engagement_platform.domain.delivery import blame, dispatch
from engagement_platform.domain.delivery.tries import from_text
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.recovery.rejections import give_up as decide
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.forward import offsets
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import letter_ids, letters, out_of_order, publish, received
from engagement_platform_tests.streaming import drain, running, wait_for


@pytest.mark.parametrize(
    ("status", "kind"), [(422, Activity.REFUSED), (403, Activity.STOPPED), (404, Activity.STOPPED)]
)
def test_a_partner_that_refuses_everything_is_said_and_events_wait(
    to: To, receiver: Receiver, status: int, kind: Activity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LOOK_AGAIN_SECONDS", 0.5)
    ids = publish(to(), range(1_000))
    receiver.behave(Behaviour("error", status=status))
    with running(forward.run, to(api_batch_size=20)) as control:
        wait_for(lambda: control.progress.state.kind is kind, "it to say so")
        assert f"status {status}" in in_words(control.progress.state)
        assert control.progress.state.since <= time.time()
        wait_for(lambda: (control.progress.lag or 0) >= 1_000 - blame.FIRST_CREDIT, "the lag")
        receiver.behave(Behaviour())
        wait_for(lambda: control.progress.lag == 0, "all events")
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "it to go on")
    assert received(receiver) | letter_ids(to()) == set(ids)
    assert len(letter_ids(to())) <= (blame.FIRST_CREDIT if status == 422 else 0)
    assert not out_of_order(receiver.deliveries)


def test_a_drain_ends_with_the_reason_and_loses_nothing(
    to: To, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "LOOKS_OF_A_DRAIN", 1)
    ids = publish(to(), range(50))
    receiver.behave(Behaviour("error", status=415))
    with pytest.raises(StreamStopped, match=r"takes none of the events: status 415.*forward give-up"):
        drain(forward.run, to())
    receiver.behave(Behaviour())
    drain(forward.run, to())
    assert received(receiver) | letter_ids(to()) == set(ids)
    assert len(letter_ids(to())) <= blame.FIRST_CREDIT


def test_each_run_begins_with_what_the_one_before_left(
    to: To, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each would make some letters anew of a partner that refuses everything."""
    monkeypatch.setattr(forward, "LOOKS_OF_A_DRAIN", 1)
    ids = publish(to(), range(20))
    receiver.behave(Behaviour("error", status=422))
    for _ in range(2):
        with pytest.raises(StreamStopped, match="status 422"):
            drain(forward.run, to(api_batch_size=1))
        assert len(letter_ids(to())) == blame.FIRST_CREDIT
    receiver.behave(Behaviour())
    drain(forward.run, to())
    assert received(receiver) | letter_ids(to()) == set(ids)


def test_a_partner_that_begins_to_refuse_everything_gets_few_letters(to: To, receiver: Receiver) -> None:
    ids = publish(to(), range(100))
    with running(forward.run, to(api_batch_size=1)) as control:
        wait_for(lambda: received(receiver) == set(ids), "the first")
        receiver.behave(Behaviour("error", status=400))
        ids += publish(to(), range(100, 300))
        wait_for(lambda: control.progress.state.kind is Activity.REFUSED, "it to stop")
        wait_for(lambda: control.progress.lag, "the lag, which may be that of the first for a moment")
        receiver.behave(Behaviour())
        wait_for(lambda: control.progress.lag == 0, "the others")
    assert received(receiver) | letter_ids(to()) == set(ids)
    assert len(letter_ids(to())) <= blame.MAX_CREDIT


def test_an_operator_lets_refused_events_become_letters(to: To, receiver: Receiver, in_environment: None) -> None:
    ensure_schema(to())
    ids = publish(to(), range(40))
    receiver.behave(Behaviour("error", status=422))
    with pytest.MonkeyPatch.context() as patched, running(forward.run, to()) as control:
        wait_for(lambda: control.progress.state.kind is Activity.REFUSED, "it to stop")
        assert "forward give-up" in control.progress.state.remedy
        patched.setenv("ENGAGEMENT_FORWARD_GROUP", to().topics.forward_group)
        declined = CliRunner().invoke(command, ["give-up"], input="n\n")
        assert declined.exit_code == 1
        assert "events become dead letters when the partner refuses them" in declined.output
        before = len(letter_ids(to()))
        done = CliRunner().invoke(command, ["give-up", "--events", "30", "--yes"])
        assert done.exit_code == 0, done.output
        wait_for(lambda: len(letter_ids(to())) == before + 30, "the letters")
        wait_for(lambda: control.progress.state.kind is Activity.REFUSED, "it to stop again")
        receiver.behave(Behaviour())
        wait_for(lambda: len(received(receiver)) == 10 - before, "the others")
    assert received(receiver) | letter_ids(to()) == set(ids)
    assert {letter.status for letter in letters(to())} == {422}


def test_a_hand_over_takes_nothing_from_what_an_operator_decided(to: To, receiver: Receiver) -> None:
    ensure_schema(to())
    publish(to(), range(60))
    receiver.behave(Behaviour("error", status=422))
    slow = to(api_batch_size=1, api_in_flight=1, api_events_per_second=10.0)
    with running(forward.run, slow) as control:
        wait_for(lambda: control.progress.state.kind is Activity.REFUSED, "it to stop")
        before = len(letter_ids(to()))
        decide(to(), "forward", 40, "somebody")
        wait_for(lambda: len(letter_ids(to())) > before, "the first letters")
    assert before < len(letter_ids(to())) < before + 40
    with running(forward.run, to()) as control:
        wait_for(lambda: len(letter_ids(to())) == before + 40, "the other letters")
        wait_for(lambda: control.progress.state.kind is Activity.REFUSED, "it to stop again")
    assert len(letter_ids(to())) == before + 40


def test_what_was_decided_for_an_earlier_standstill_is_not_used_for_a_later_one(to: To, in_environment: None) -> None:
    ensure_schema(to())
    decide(to(), "forward", 5, "somebody")
    from engagement_platform.adapters.platform.connection import connect_platform

    with connect_platform(to(), "test") as connection:
        connection.execute("UPDATE engagement_platform.forward_decision SET decided_at = now() - interval '2 hours'")
    with forwarded.Positions(to()) as positions:
        positions.asks = True
        decide(to(), "forward", 3, "somebody")
        taken = wait_for(positions.decided, "the decision")
        assert taken == 3


def tried(settings: Settings, seconds: int) -> bool:
    """Say whether some event is known to have been tried for so long."""
    reader = GroupReader(settings.kafka, settings.topics.events, settings.topics.forward_group)
    try:
        stored = reader.stored().values()
        return any(one.seconds >= seconds for each in stored for one in from_text(each.tried, each.offset).values())
    finally:
        reader.close()


def test_tries_that_kafka_has_no_room_for_are_left_out(to: To, receiver: Receiver) -> None:
    """Its limit is 4,096 bytes here, as by default; an operator may have set a lower one."""
    ids = publish(to(), range(5))
    drain(forward.run, to())
    reader = GroupReader(to().kafka, to().topics.events, to().topics.forward_group)
    try:
        offsets = {partition: one.offset for partition, one in reader.stored().items()}
        reader.store(offsets, dict.fromkeys(offsets, note_of(reader.topic_id, None, 7, "1.2:3;" * 1_000)))
        assert {(one.topic_id, one.credit, one.tried) for one in reader.stored().values()} == {(reader.topic_id, 7, "")}
    finally:
        reader.close()
    assert received(receiver) == set(ids)


def a_run(settings: Settings, seconds: int) -> None:
    """Run until an event is known to have been tried for so long, over all runs, or is a letter."""
    with running(forward.run, settings) as control:
        wait_for(lambda: tried(settings, seconds) or control.progress.detail.get("dead_letters"), "some tries")


def test_tries_are_counted_over_runs_and_a_kill(to: To, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one run had counted, the next goes on with: the last one need not try for as long as an event is tried."""
    monkeypatch.setattr(offsets, "_STORE_TRIES_SECONDS", 0.2)
    ids = publish(to(), range(20))
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-7"}), poison_status=500))
    patient = to(api_retry_seconds=600, api_breaker_failures=1_000, api_batch_size=5)
    with monkeypatch.context() as killed:
        killed.setattr(forward._Forward, "_finish", lambda _: None)
        a_run(patient, 2)
    a_run(patient, 4)
    assert not letter_ids(to())
    settings, last_begins_at = patient.replace(api_retry_seconds=5), datetime.now(UTC)
    a_run(settings, 1_000)
    assert letter_ids(to()) == {7}
    drain(forward.run, settings)
    assert received(receiver) == set(ids) - {7}
    (letter,) = letters(to())
    assert letter.first_try is not None
    assert letter.last_try is not None
    assert letter.first_try < last_begins_at < letter.last_try
    assert (letter.last_try - letter.first_try).total_seconds() >= 4
