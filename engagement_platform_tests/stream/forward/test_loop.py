"""forward against the real Kafka and a partner who does anything."""

import logging
from typing import Any

import pytest
from kafka import TopicPartition
from pydantic import SecretStr

from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.plain import send_all, send_dead_letters
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.delivery import dispatch
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.recovery.forward import missed_since, restart
from engagement_platform.settings import Settings
from engagement_platform.stream import dead_letters
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.partner import message
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import (
    content_of,
    ids_of,
    letter_ids,
    letters,
    out_of_order,
    publish,
    received,
    value_of,
)
from engagement_platform_tests.streaming import drain, running, wait_for


def test_every_event_is_delivered_once_in_order_and_not_again(to: To, receiver: Receiver) -> None:
    ids = publish(to(), range(1000))
    done = drain(forward.run, to())
    assert sorted(ids_of(receiver.deliveries)) == ids
    assert not out_of_order(receiver.deliveries)
    assert receiver.state.largest == 200
    assert receiver.state.unsigned == receiver.state.malformed == 0
    assert done.progress.events == done.progress.latency.present().count == 1000
    ids += publish(to(), range(1000, 1010))
    drain(forward.run, to())
    assert sorted(ids_of(receiver.deliveries)) == ids


def test_it_follows_the_stream(to: To, receiver: Receiver) -> None:
    publish(to(), range(5))
    with running(forward.run, to()) as control:
        wait_for(lambda: received(receiver) == set(range(5)), "the first")
        publish(to(), range(5, 9))
        wait_for(lambda: received(receiver) == set(range(9)), "the others")
        wait_for(
            lambda: control.progress.lag == 0 and control.progress.detail.get("breaker") == "closed", "the figures"
        )
    drain(forward.run, to())
    assert len(receiver.deliveries) == 9


def test_with_one_event_a_request_it_is_the_object_itself(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    drain(forward.run, to(api_batch_size=1))
    assert (receiver.state.largest, receiver.state.requests) == (1, 3)


def test_a_partner_that_misbehaves_gets_everything_in_the_end(to: To, receiver: Receiver) -> None:
    ids = publish(to(), range(400))
    mix = ("error", "throttle", "close", "garbage", "slow")
    receiver.behave(Behaviour("mix", faults=mix, share=0.5, seconds=0.05, seed=12))
    drain(forward.run, to(api_batch_size=20, api_in_flight=4))
    assert received(receiver) == set(ids)
    assert not out_of_order(receiver.deliveries)
    assert not letter_ids(to())
    assert {200, 429, 500} <= receiver.statuses.keys()
    assert len(receiver.deliveries) > 400, "closed connections that counted"


def test_poison_is_found_and_kept_and_the_others_arrive(to: To, receiver: Receiver) -> None:
    ids = publish(to(), range(100))
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-17", "engagement-event-18", "engagement-event-99"})))
    drain(forward.run, to())
    assert received(receiver) == set(ids) - {17, 18, 99}
    found = {letter.event_id: letter for letter in letters(to())}
    assert set(found) == {17, 18, 99}
    letter = found[17]
    assert (letter.source, letter.reason, letter.status) == ("forward", "status 422", 422)
    assert (letter.response, letter.key) == ('{"mode":"poison"}', "engagement-event-17")
    assert (value_of(letter) or {})["content_id"] == content_of(17)
    assert letter.first_try is not None
    assert letter.last_try is not None
    assert letter.first_try < letter.last_try
    drain(forward.run, to())
    assert len(letters(to())) == 3


def test_an_event_that_the_partner_cannot_take_becomes_a_letter_after_its_time(to: To, receiver: Receiver) -> None:
    """Status 500 for one event: it is tried for a while, and what waited behind it is delivered after it."""
    publish(to(), range(30))
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-7"}), poison_status=500))
    with running(forward.run, to(api_retry_seconds=8, api_breaker_failures=50)):
        wait_for(lambda: received(receiver) >= set(range(30)) - {7, 17, 27}, "what is not behind it")
        assert not letter_ids(to())
        wait_for(lambda: received(receiver) == set(range(30)) - {7}, "what is behind it")
    assert letter_ids(to()) == {7}


def test_what_is_no_event_is_a_letter_and_the_stream_goes_on(to: To, receiver: Receiver) -> None:
    publish(to(), range(2))
    send_all(to().kafka, [Message(to().topics.events, None, value) for value in (b"not JSON", b'{"id": 77}', b"\xff")])
    publish(to(), range(2, 4))
    drain(forward.run, to())
    assert received(receiver) == set(range(4))
    assert sorted((letter.source, letter.event_id) for letter in letters(to()) if letter.event_id) == [("forward", 77)]
    assert sorted(bytes(letter.event) for letter in letters(to())) == [b"null", b"null", b'{"id": 77}']


def test_an_event_too_large_for_a_letter_is_there_by_its_id(to: To, receiver: Receiver) -> None:
    publish(to(), [1, 3, 4, 5])
    send_all(to().kafka, [Message(to().topics.events, None, message(2, title="x" * 1_042_000))], 1 << 20)
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-1", "engagement-event-2"}), poison_status=400))
    drain(forward.run, to())
    found = {letter.event_id: letter for letter in letters(to())}
    assert set(found) == {1, 2}
    assert (value_of(found[1]) or {})["id"] == 1
    assert value_of(found[2]) is None


def test_an_outage_is_waited_for_without_letters_and_with_few_requests(
    to: To, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ids = publish(to(), range(2000))
    receiver.down()
    with running(forward.run, to(api_retry_seconds=1)) as control:
        wait_for(lambda: control.progress.detail.get("breaker") == "open", "the breaker to open")
        wait_for(lambda: int(control.progress.detail["requests"]) >= 20, "some probes")
        assert "refused" in control.progress.state.reason
        ids += publish(to(), range(2000, 3000))
        receiver.up()
        wait_for(lambda: received(receiver) == set(ids), "all events")
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "the end of the outage to be told")
    assert not letter_ids(to())
    assert not out_of_order(receiver.deliveries)
    assert [record.levelname for record in caplog.records if "The partner's API" in record.message] == [
        "WARNING",
        "INFO",
    ]


@pytest.mark.parametrize("status", [401, 410])
def test_what_is_for_a_person_is_said_and_the_loop_goes_on(
    to: To, receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "LOOK_AGAIN_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    publish(to(), range(3))
    receiver.behave(Behaviour("error", status=status))
    with pytest.raises(StreamStopped, match=f"status {status}"):
        drain(forward.run, to())
    caplog.clear()
    with running(forward.run, to()) as control:
        wait_for(lambda: f"status {status}" in in_words(control.progress.state), "it to say so")
        wait_for(lambda: "cannot be used" in caplog.text, "it to log it")
        receiver.behave(Behaviour())
        wait_for(lambda: received(receiver) == set(range(3)), "the events")
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "it to say that it is over")
    assert not letter_ids(to())
    assert caplog.text.count("cannot be used") == 1


def test_a_redirect_is_not_followed(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    receiver.behave(Behaviour("redirect"))
    with pytest.raises(StreamStopped, match="redirects are not followed"):
        drain(forward.run, to())
    assert receiver.state.requests == 1


def test_a_setting_that_cannot_be_used_does_not_end_the_run(to: To) -> None:
    ensure_topics(to())
    with running(forward.run, to(api_signing_key=SecretStr("whsec_hunter2"))) as control:
        wait_for(lambda: "ENGAGEMENT_API_SIGNING_KEY" in in_words(control.progress.state), "it to say so")
    assert "hunter2" not in in_words(control.progress.state)


def test_draining_ends_when_the_partner_stays_down(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    receiver.down()
    with pytest.raises(StreamStopped, match="events wait for it"):
        drain(forward.run, to(api_retry_seconds=1, api_breaker_failures=2))
    assert not letter_ids(to())
    receiver.up()
    drain(forward.run, to())
    assert received(receiver) == set(range(3))


def test_without_an_address_nothing_is_read_and_the_offsets_stay(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    nowhere = to(api_url=SecretStr(""))
    with running(forward.run, nowhere) as control:
        wait_for(lambda: "not set" in control.progress.state.reason, "it to say so")
    assert not drain(forward.run, nowhere).progress.events
    drain(forward.run, to())
    assert received(receiver) == set(range(3))


def test_of_the_replays_only_what_is_meant_for_the_api_is_delivered(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    publish(to(), range(100, 103), to().topics.replays)
    publish(to(), range(200, 203), to().topics.replays, [("to", b"api")])
    publish(to(), range(300, 303), to().topics.replays, [("to", b"somebody")])
    drain(forward.run, to())
    assert sorted(ids_of(receiver.deliveries)) == [0, 1, 2, 200, 201, 202]
    drain(forward.run, to())
    assert len(receiver.deliveries) == 6


def test_rates_are_kept(to: To, receiver: Receiver) -> None:
    publish(to(), range(300))
    drain(forward.run, to(api_events_per_second=150, api_batch_size=10))
    at = [each.at for each in receiver.deliveries]
    assert at[-1] - at[0] >= 1.4


def test_partitions_that_are_added_are_read(to: To, receiver: Receiver) -> None:
    publish(to(), range(5))
    with running(forward.run, to()):
        wait_for(lambda: len(received(receiver)) == 5, "the first")
        with admin(to().kafka) as client:
            client.create_partitions({to().topics.events: 8})
        wait_for(lambda: _partitions(to()) == 8, "the partitions")
        publish(to(), range(5, 50))
        wait_for(lambda: received(receiver) == set(range(50)), "the others")
    drain(forward.run, to())
    assert len(receiver.deliveries) == 50


def _partitions(settings: Settings) -> int:
    with admin(settings.kafka) as client:
        return len(client.describe_topics([settings.topics.events])[0]["partitions"])


def _expire(settings: Settings) -> None:
    with admin(settings.kafka) as client:
        partitions = [TopicPartition(settings.topics.events, number) for number in range(settings.topics.partitions)]
        client.delete_records(dict.fromkeys(partitions, -1))


def test_events_that_expired_stop_it_with_what_to_run(to: To, receiver: Receiver) -> None:
    publish(to(), range(10))
    drain(forward.run, to())
    publish(to(), range(10, 30))
    _expire(to())
    publish(to(), range(30, 40))
    with pytest.raises(
        StreamStopped, match=r"forward restart --at earliest.*backfill --to api --since 20\d\d-"
    ) as stop:
        drain(forward.run, to())
    since = missed_since(to())
    assert since is not None
    assert str(stop.value).endswith(f"--since {since}"), "whoever types the first command is told the second again"
    restart(to(), "earliest")
    assert missed_since(to()) is None
    drain(forward.run, to())
    assert received(receiver) == {*range(10), *range(30, 40)}


def test_it_begins_with_the_oldest_and_says_what_has_expired(
    to: To, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    publish(to(), range(10))
    _expire(to())
    publish(to(), range(10, 15))
    drain(forward.run, to())
    assert received(receiver) == set(range(10, 15))
    assert "10 have expired" in caplog.text


def test_a_restart_at_the_latest_skips_what_is_there_but_no_replay(to: To, receiver: Receiver) -> None:
    publish(to(), range(5))
    publish(to(), range(200, 203), to().topics.replays, [("to", b"api")])
    drain(forward.run, to(api_url=SecretStr(receiver.url)))
    publish(to(), range(5, 9))
    publish(to(), range(203, 205), to().topics.replays, [("to", b"api")])
    restart(to(), "latest")
    drain(forward.run, to())
    assert received(receiver) == {*range(5), *range(200, 205)}


def test_another_topic_of_the_same_name_is_noticed(to: To, receiver: Receiver) -> None:
    publish(to(), range(10))
    with running(forward.run, to()) as control:
        wait_for(lambda: len(received(receiver)) == 10, "the first")
        with admin(to().kafka) as client:
            client.delete_topics([to().topics.events])
        wait_for(lambda: not _exists(to()), "the topic to be gone")
        ensure_topics(to())
        wait_for(lambda: "created again" in in_words(control.progress.state), "it to stop")
    restart(to(), "earliest")
    publish(to(), range(10, 15))
    drain(forward.run, to())
    assert received(receiver) == set(range(15))


def _exists(settings: Settings) -> bool:
    with admin(settings.kafka) as client:
        return settings.topics.events in client.list_topics()


def test_a_forward_that_breaks_off_anywhere_loses_nothing(
    to: To, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offsets never pass what is not settled: not when letters cannot be written, nor when storing fails."""
    ids = publish(to(), range(100))
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-50"})))

    class Killed(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(dead_letters, "send_dead_letters", dies)
        with pytest.raises(Killed):
            drain(forward.run, to())
    with monkeypatch.context() as patched:
        patched.setattr(GroupReader, "store", dies)
        with pytest.raises(Killed):
            drain(forward.run, to())
    away = [Unavailable("Kafka does not answer.")]

    def once_away(*given: Any) -> None:
        if away:
            raise away.pop()
        send_dead_letters(*given)

    with monkeypatch.context() as patched:
        patched.setattr(dead_letters, "send_dead_letters", once_away)
        drain(forward.run, to())
        assert not away
    assert received(receiver) == set(ids) - {50}
    assert letter_ids(to()) == {50}
