"""The record of deliveries as forward makes it: tries, halves, probes and what the partner answered."""

import json

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.deliveries import DeliveryTable, Filter
from engagement_platform.domain.delivery.record import Became, Delivery
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.partner import SIGNING_KEY
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import content_of, ids_of, publish, received
from engagement_platform_tests.streaming import drain, running, wait_for


def recorded(settings: Settings, event_id: int | None = None, content: str = "") -> list[Delivery]:
    """Return the requests in the order of time."""
    with DeliveryTable.opened(settings, "test") as table:
        return list(reversed(table.newest(Filter(event_id=event_id, content=content), 1_000)))


def test_every_request_is_kept_with_its_events_beside_the_answer(to: To, receiver: Receiver) -> None:
    ids = publish(to(), range(500))
    drain(forward.run, to())
    kept = recorded(to())
    assert sorted(number for one in kept for number in one.ids) == ids
    assert {(one.became, one.status, one.tries, one.response) for one in kept} == {
        (Became.DELIVERED, 200, 1, '{"mode":"ok"}')
    }
    assert {headers["webhook-id"] for headers in receiver.headers} == {one.request_id for one in kept}
    assert [one.body is not None for one in sorted(kept, key=lambda one: one.number)].count(True) == 1
    (body,) = [one.body for one in kept if one.body is not None]
    assert body.startswith('[{"key":"engagement-event-')
    assert all(0 < one.seconds < 5 for one in kept)
    assert all(number % 10 == 3 for number in recorded(to(), content=content_of(3))[0].ids if number % 10 == 3)


def test_tries_halves_and_the_dead_letter_of_one_event_are_told_in_their_order(to: To, receiver: Receiver) -> None:
    publish(to(), range(4))
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-2"})))
    drain(forward.run, to())
    tries = recorded(to(), 2)
    assert [one.became for one in tries][-1] is Became.DEAD_LETTER
    assert {one.became for one in tries[:-1]} == {Became.HALVED}
    assert {one.status for one in tries} == {422}
    assert [len(one.ids) for one in tries] == sorted((len(one.ids) for one in tries), reverse=True)
    assert all(one.body and one.response == '{"mode":"poison"}' for one in tries)
    assert [one.became for one in recorded(to(), 1)][-1] is Became.DELIVERED


def test_an_outage_is_told_by_its_tries_and_probes(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    receiver.down()
    with running(forward.run, to(api_breaker_failures=2)) as control:
        wait_for(lambda: control.progress.detail.get("breaker") == "open", "the breaker to open")
        wait_for(lambda: int(control.progress.detail["requests"]) >= 5, "some probes")
        receiver.up()
        wait_for(lambda: received(receiver) == {0, 1, 2}, "the events")
    kept = recorded(to(), 1)
    assert [one.tries for one in kept] == list(range(1, len(kept) + 1))
    assert kept[-1].became is Became.DELIVERED
    assert all(one.status is None and "refused" in one.reason for one in kept[:-1])
    assert any(one.is_probe for one in kept)


def test_what_does_not_leave_the_house_is_not_in_the_record_either(to: To) -> None:
    publish(to(), range(3))
    drain(forward.run, to(api_fields="id,device"))
    bodies = [one.body for one in recorded(to()) if one.body]
    assert [set(event) for body in bodies for event in json.loads(body)] == [{"key", "id", "device"}] * 3
    with Session(to(), "test") as session:
        rows = session.all("SELECT * FROM {schema}.delivery")
    assert SIGNING_KEY not in str(rows)
    assert "6f1c2a34" not in str(rows)


def test_a_long_body_is_cut_and_says_how_long_it_was(to: To, receiver: Receiver) -> None:
    publish(to(), range(50))
    receiver.behave(Behaviour("error", status=503))
    with running(forward.run, to(deliveries_body_bytes=100)):
        wait_for(lambda: recorded(to()), "the record")
    (first, *_) = recorded(to())
    assert first.body is not None
    assert len(first.body) == 100
    assert first.is_cut
    assert first.body_bytes > 1_000


def test_nothing_is_kept_where_that_is_off(to: To, receiver: Receiver) -> None:
    publish(to(), range(3))
    drain(forward.run, to(deliveries="off"))
    assert sorted(ids_of(receiver.deliveries)) == [0, 1, 2]
    assert recorded(to()) == []


def test_forward_goes_on_while_the_record_cannot_be_written(to: To, receiver: Receiver) -> None:
    publish(to(), range(2_000))
    with Session(to(), "test") as session, session.transaction():
        session.execute("LOCK TABLE {schema}.delivery")
        done = drain(forward.run, to())
    assert len(ids_of(receiver.deliveries)) == 2_000
    assert done.progress.events == 2_000
