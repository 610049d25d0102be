"""The record of requests to the partner: what is kept, found, forgotten, and left out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engagement_platform.adapters.platform import deliveries
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.deliveries import (
    MOST_FAILED,
    MOST_GOOD,
    DeliveryRecord,
    DeliveryTable,
    Filter,
    bytes_of,
    prune,
)
from engagement_platform.domain.delivery.record import Became, Delivery, content_number
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import wait_for

NOW = datetime.now(UTC)


def delivery(at: int = 0, **changes: Any) -> Delivery:
    """A request of `at` seconds ago that the partner took."""
    values: dict[str, Any] = {
        "begun_at": NOW - timedelta(seconds=at),
        "seconds": 0.25,
        "request_id": "msg_1",
        "ids": (7, 5, 6),
        "contents": (content_number("c"),),
        "tries": 1,
        "became": Became.DELIVERED,
        "status": 200,
    }
    return Delivery(**values | changes)


FAILED: dict[str, Any] = {
    "became": Became.AGAIN,
    "status": 503,
    "reason": "status 503",
    "response": "later\x00",
    "body": "[{}]",
}


def keep(settings: Settings, *kept: Delivery) -> None:
    with DeliveryTable.opened(settings, "test") as table:
        table.keep(kept)


def found(settings: Settings, **chosen: Any) -> list[Delivery]:
    with DeliveryTable.opened(settings, "test") as table:
        return list(table.newest(Filter(**chosen), 100))


def test_a_request_is_kept_as_it_was_and_once(migrated: Settings) -> None:
    one = delivery(**FAILED, is_probe=True, body_bytes=4)
    keep(migrated, one)
    keep(migrated, one, delivery(1))
    second, first = found(migrated)
    assert (first.begun_at, first.ids, first.became, first.is_probe) == (NOW, (7, 5, 6), Became.AGAIN, True)
    assert (first.reason, first.response, first.body) == ("status 503", "later\ufffd", "[{}]")
    assert (second.body, second.status) == (None, 200)


def test_requests_are_found_by_each_filter_and_by_all_together(migrated: Settings) -> None:
    keep(
        migrated,
        delivery(30, request_id="a"),
        delivery(20, request_id="b", **FAILED),
        delivery(10, request_id="c", ids=(1, 900), contents=(content_number("d"),)),
        delivery(5, request_id="d", ids=((1 << 63) - 1,), status=None, became=Became.AGAIN),
    )

    def names(**chosen: Any) -> list[str]:
        return [one.request_id for one in found(migrated, **chosen)]

    assert names() == ["d", "c", "b", "a"]
    assert names(event_id=6) == ["b", "a"]
    assert names(event_id=8) == []
    assert names(event_id=900) == ["c"]
    assert names(event_id=(1 << 63) - 1) == ["d"]
    assert names(content="c") == ["d", "b", "a"]
    assert names(classes=["5xx"]) == ["b"]
    assert names(classes=["none", "5xx"]) == ["d", "b"]
    assert names(became=[Became.DELIVERED], content="c") == ["a"]
    assert names(since=NOW - timedelta(seconds=20), until=NOW - timedelta(seconds=10)) == ["b"]
    numbers = [one.number for one in found(migrated)]
    assert names(before=numbers[1]) == ["b", "a"]
    assert names(numbers=numbers[:2]) == ["d", "c"]


def test_the_chosen_requests_are_counted_and_their_events_told_once(migrated: Settings) -> None:
    keep(migrated, delivery(3), delivery(2, **FAILED), delivery(1, ids=(6, 9)))
    with DeliveryTable.opened(migrated, "test") as table:
        counts = [(one.became, one.status_class, one.requests, one.events) for one in table.counts(Filter())]
        assert counts == [(Became.AGAIN, "5xx", 1, 3), (Became.DELIVERED, "2xx", 2, 5)]
        assert table.events(Filter(), 100) == [5, 6, 7, 9]
        assert table.events(Filter(became=[Became.AGAIN]), 2) == [5, 6]
        assert table.events(Filter(event_id=6), 100) == [6], "the others of its requests are not meant"
        assert table.events(Filter(event_id=8), 100) == []
        kept = table.kept()
        assert (kept.requests, kept.since) == (3, NOW - timedelta(seconds=3))


def test_the_oldest_are_forgotten_by_age_and_by_size(migrated: Settings) -> None:
    keep(migrated, *(delivery(hours * 3_600, request_id=f"{hours}") for hours in (30, 20, 10, 5, 1)))
    size = bytes_of(delivery())
    with DeliveryTable.opened(migrated, "test") as table:
        assert table.prune(25, 100 * size) == 1
        assert [one.request_id for one in found(migrated)] == ["1", "5", "10", "20"]
        assert table.prune(25, 2 * size) == 2
        assert [one.request_id for one in found(migrated)] == ["1", "5"]
        assert table.prune(25, 2 * size) == 0
    keep(migrated, delivery(0, request_id="0"))
    assert prune(migrated.replace(deliveries_megabytes=2 * size / 1e6)) == 1
    assert [one.request_id for one in found(migrated)] == ["0", "1"]


def test_pruning_goes_on_to_the_end_a_few_at_a_time(migrated: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "_PRUNED_AT_ONCE", 2)
    keep(migrated, *(delivery(hours * 3_600) for hours in range(50, 55)))
    assert prune(migrated) == 5


def test_the_record_is_written_in_the_background(migrated: Settings) -> None:
    with DeliveryRecord(migrated) as record:
        for at in range(5):
            record.note(delivery(at))
        wait_for(lambda: len(found(migrated)) == 5, "the record")
        record.note(delivery(9))
    assert len(found(migrated)) == 6
    assert record.left_out == 0


def test_more_than_can_wait_is_left_out_the_good_ones_first(migrated: Settings) -> None:
    record = DeliveryRecord(migrated)
    for at in range(MOST_GOOD + 5):
        record.note(delivery(at))
    assert record.left_out == 5
    for at in range(MOST_FAILED - MOST_GOOD + 3):
        record.note(delivery(at, **FAILED))
    assert record.left_out == 8


def test_what_waits_is_bounded_in_bytes_until_it_is_written(
    migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = FAILED | {"body": "x" * 1_000_000}
    monkeypatch.setattr(deliveries, "MOST_BYTES", 10 * bytes_of(delivery(**failed)))
    record = DeliveryRecord(migrated)
    for at in range(15):
        record.note(delivery(at, **failed))
    assert record.left_out == 5
    record.note(delivery(20, body="x"))
    assert record.left_out == 6, "also of those that the partner took"
    with record:
        wait_for(lambda: len(found(migrated)) == 10, "the record")
        wait_for(lambda: record._noted_bytes == record._settled_bytes, "room")
        for at in range(15, 25):
            record.note(delivery(at, **failed))
        wait_for(lambda: len(found(migrated)) == 20, "the next")
    assert record.left_out == 6


def test_those_that_the_partner_took_have_a_quarter_of_the_bytes(
    migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST_BYTES", 8 * bytes_of(delivery()))
    record = DeliveryRecord(migrated)
    for at in range(3):
        record.note(delivery(at))
    assert record.left_out == 1
    record.note(delivery(9, **FAILED))
    assert record.left_out == 1


def test_a_database_that_is_locked_or_away_is_not_waited_for(migrated: Settings, bare: Settings) -> None:
    with Session(migrated, "test") as session, session.transaction(), DeliveryRecord(migrated) as record:
        session.execute("LOCK TABLE {schema}.delivery")
        for at in range(MOST_FAILED + 10):
            record.note(delivery(at, **FAILED))
        assert record.left_out == 10
    with DeliveryRecord(bare) as record:  # no schema
        record.note(delivery())
    assert record.left_out == 0


def test_what_the_database_does_not_take_holds_up_nothing_else(
    migrated: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    record = DeliveryRecord(migrated)
    for one in (delivery(3, request_id="a"), delivery(ids=(1 << 70,)), delivery(1, request_id="b")):
        record.note(one)  # before it begins, so that they are written together
    with record:
        wait_for(lambda: record.left_out == 1, "it to be left out")
        wait_for(lambda: [one.request_id for one in found(migrated)] == ["b", "a"], "those beside it")
        record.note(delivery(request_id="c"))
        wait_for(lambda: len(found(migrated)) == 3, "the next")
    assert "A request to the partner is not kept" in caplog.text
    assert record.left_out == 1
