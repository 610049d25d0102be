"""The trace of an event, from what was read to a verdict for each place."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engagement_platform.domain.trace as package
from engagement_platform.console.serve import texts
from engagement_platform.console.serve.trace_words import english
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.dead_letters import Action, Address, DeadLetter, Letter
from engagement_platform.domain.delivery.record import Became, Delivery
from engagement_platform.domain.ids import IdRange
from engagement_platform.domain.trace.facts import (
    AtPartner,
    Facts,
    InKafka,
    InSource,
    InViews,
    InWarehouse,
    Letters,
    Loaded,
    Message,
    Rebuilt,
    Relayed,
    Row,
    Unread,
)
from engagement_platform.domain.trace.trace import Mark, Place, Said, to_object
from engagement_platform.domain.trace.verdicts import trace_of
from engagement_platform.domain.trace.views import FUTURE_KEPT_MS, USUAL_DELAY_MS
from engagement_platform.domain.windows import Window

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
ARRIVED = NOW - timedelta(seconds=30)
TIME = ARRIVED - timedelta(seconds=1)
WINDOW = Window(600_000, 10_000, 60_000)
VALUE = b'{"id":5,"device":"ios"}'


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


def message(**changes: Any) -> Message:
    made = Message(
        2, 100, ARRIVED, ARRIVED - timedelta(milliseconds=12), 1, len(VALUE), VALUE, TIME, (("device", "ios"),)
    )
    return replace(made, **changes)


def views(**changes: Any) -> InViews:
    return replace(InViews(True, 101, WINDOW, ms(NOW), (7,)), **changes)


def facts(**changes: Any) -> Facts:
    """An event that is everywhere."""
    load = Loaded("stage_1", ARRIVED, ARRIVED + timedelta(seconds=5), 10, 0)
    everywhere = Facts(
        "engagement",
        5,
        NOW,
        InSource(Row("c", TIME, len(VALUE), VALUE), 9),
        Relayed(Coverage(9)),
        InKafka(message()),
        views(),
        InWarehouse(True, 101, date(2026, 3, 1), load),
        AtPartner(True, 101, (delivery(),)),
        Letters(),
    )
    return replace(everywhere, **changes)


def delivery(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "begun_at": ARRIVED,
        "seconds": 0.02,
        "request_id": "msg_1",
        "ids": (5,),
        "tries": 1,
        "became": Became.DELIVERED,
        "status": 200,
    }
    return Delivery(**values | changes)


def letter(source: str, *actions: Action) -> Letter:
    content = DeadLetter(source=source, event_id=5, reason="status 422", excerpt="", at=NOW)
    return Letter(Address(0, 3), content, actions)


def lost(**changes: Any) -> InKafka:
    return replace(InKafka(None, NOW - timedelta(minutes=2), NOW), **changes)


NOTED_LATE = Relayed(Coverage(9), Coverage(5), NOW)
"""The platform's database was lost, or upgraded, when the relay had passed the event already."""


def verdicts(**changes: Any) -> dict[str, tuple[str, Mark]]:
    return {step.place.value: (step.said.kind, step.mark) for step in trace_of(facts(**changes)).steps}


def test_an_event_that_went_everywhere_is_said_to_be_there_with_time_and_place() -> None:
    trace = trace_of(facts())
    assert {step.mark for step in trace.steps} == {Mark.THERE}
    assert [english(step.said) for step in trace.steps] == [
        "The row is there, of 2026-03-01 11:59:34.000 UTC.",
        "Partition 2, offset 100, since 2026-03-01 11:59:35.000 UTC.",
        "Counted, in the bucket that begins at 2026-03-01 11:59:30.000 UTC.",
        "In the table since 2026-03-01 11:59:40.000 UTC, by load stage_1.",
        "Delivered at 2026-03-01 11:59:35.000 UTC, with status 200.",
    ]
    assert "At most 12 ms after its transaction committed." in map(english, trace.step(Place.KAFKA).notes)
    assert [english(note) for note in trace.step(Place.REDIS).notes] == ["device: ios, with 7 events in this bucket"]


@pytest.mark.parametrize(
    ("changes", "kind", "mark"),
    [
        ({"source": InSource(None, 4)}, "source.not_given", Mark.NOT_THERE),
        ({"source": InSource(None, 9), "relay": Relayed(Coverage(4))}, "source.open", Mark.WAITS),
        ({"source": InSource(None, 9), "relay": Relayed(Coverage(9, (IdRange(5, 5),)))}, "source.gap", Mark.WAITS),
        ({"source": InSource(None, 9)}, "source.rolled_back", Mark.NOT_THERE),
        ({"source": InSource(None, None)}, "source.rolled_back", Mark.NOT_THERE),
        ({"source": InSource(None, 9), "kafka": lost(is_expired=True)}, "source.gone", Mark.NOT_THERE),
        ({"source": InSource(None, 9), "kafka": lost(is_complete=False)}, "source.gone", Mark.NOT_THERE),
        ({"source": InSource(None, 9), "kafka": Unread("away")}, "source.gone", Mark.NOT_THERE),
        ({"source": InSource(None, 9), "relay": Unread("away")}, "source.absent", Mark.NOT_THERE),
        ({"source": InSource(None, 9), "relay": Relayed(Coverage(9), Coverage(6))}, "source.before", Mark.NOT_THERE),
        (
            {"source": InSource(None, 9), "relay": Relayed(Coverage(9), Coverage(6)), "kafka": lost(is_expired=True)},
            "source.gone",
            Mark.NOT_THERE,
        ),
        ({"source": Unread("away")}, "unread", Mark.UNKNOWN),
        ({"source": InSource(Row(None, None, 5, None), 9)}, "source.timeless", Mark.THERE),
    ],
)
def test_why_the_source_has_no_row(changes: dict[str, Any], kind: str, mark: Mark) -> None:
    """Nothing shows that it was ever published."""
    nowhere = {
        "kafka": lost(),
        "warehouse": InWarehouse(False, 101, None),
        "partner": AtPartner(True, 101),
    }
    assert verdicts(**nowhere | changes)["source"] == (kind, mark)


@pytest.mark.parametrize(
    "evidence",
    [
        {"kafka": InKafka(message())},
        {"warehouse": InWarehouse(True, 101, None)},
        {"partner": AtPartner(True, 101, (delivery(),))},
        {"letters": Letters((letter("relay"),))},
    ],
)
def test_a_row_of_which_anything_is_left_was_deleted(evidence: dict[str, Any]) -> None:
    nowhere = {"kafka": lost(), "warehouse": InWarehouse(False, 101, None), "partner": AtPartner(True, 101)}
    assert verdicts(**nowhere | {"source": InSource(None, 9)} | evidence)["source"] == (
        "source.deleted",
        Mark.NOT_THERE,
    )


def test_a_row_that_was_changed_since_is_told_with_its_columns() -> None:
    row = Row("c", TIME, 9, b'{"id":5,"device":"web","new":1}')
    (_, changed) = trace_of(facts(source=InSource(row, 9))).step(Place.SOURCE).notes
    assert english(changed) == "The row is another one now than when it was published, in: device."
    unreadable = Row("c", TIME, 9, b"{")
    assert len(trace_of(facts(source=InSource(unreadable, 9))).step(Place.SOURCE).notes) == 1


@pytest.mark.parametrize(
    ("changes", "kind", "mark"),
    [
        ({"relay": Relayed(Coverage(4))}, "kafka.waits", Mark.WAITS),
        ({"relay": Relayed(Coverage(4)), "source": InSource(None, 9)}, "kafka.nothing", Mark.NOT_THERE),
        ({"source": InSource(None, 9)}, "kafka.nothing", Mark.NOT_THERE),
        ({"letters": Letters((letter("relay"),))}, "kafka.letter", Mark.NOT_THERE),
        ({"relay": Relayed(Coverage(9), Coverage(5))}, "kafka.before", Mark.NOT_THERE),
        ({"relay": NOTED_LATE, "kafka": lost(is_expired=True)}, "kafka.unnoted", Mark.UNKNOWN),
        ({"relay": NOTED_LATE, "kafka": lost(is_complete=False)}, "kafka.unnoted", Mark.UNKNOWN),
        ({"relay": NOTED_LATE, "kafka": Unread("away")}, "kafka.unnoted", Mark.UNKNOWN),
        ({"kafka": lost(is_expired=True, oldest=NOW)}, "kafka.expired", Mark.UNKNOWN),
        ({"kafka": lost(is_expired=True)}, "kafka.empty", Mark.UNKNOWN),
        ({"kafka": lost(is_complete=False, looked_at=9)}, "kafka.not_found", Mark.UNKNOWN),
        ({}, "kafka.missing", Mark.NOT_THERE),
        ({"kafka": Unread("away")}, "unread", Mark.UNKNOWN),
    ],
)
def test_why_the_topic_has_no_message(changes: dict[str, Any], kind: str, mark: Mark) -> None:
    assert verdicts(**{"kafka": lost()} | changes)["kafka"] == (kind, mark)


@pytest.mark.parametrize(
    ("changes", "kind", "mark"),
    [
        ({"views": views(offset=100)}, "redis.waits", Mark.WAITS),
        ({"views": views(offset=None)}, "redis.empty", Mark.WAITS),
        ({"views": views(same_topic=False)}, "redis.other_topic", Mark.UNKNOWN),
        ({"views": Unread("away")}, "unread", Mark.UNKNOWN),
        ({"kafka": InKafka(message(time=None))}, "redis.no_event", Mark.NOT_THERE),
        ({"kafka": lost()}, "redis.not_found", Mark.UNKNOWN),
        ({"kafka": lost(), "relay": Relayed(Coverage(4))}, "redis.not_published", Mark.NOT_THERE),
        ({"kafka": lost(), "views": views(as_of_ms=ms(NOW) + 700_000)}, "redis.past", Mark.UNKNOWN),
        ({"views": views(as_of_ms=ms(NOW) + 700_000)}, "redis.left", Mark.NOT_THERE),
        ({"views": views(counts=(None,))}, "redis.not_in_bucket", Mark.UNKNOWN),
        ({"views": views(counts=())}, "redis.not_in_bucket", Mark.UNKNOWN),
        ({"views": views(counts=()), "kafka": InKafka(message(members=()))}, "redis.counted", Mark.THERE),
    ],
)
def test_why_redis_does_not_count_it(changes: dict[str, Any], kind: str, mark: Mark) -> None:
    assert verdicts(**changes)["redis"] == (kind, mark)


@given(st.integers(-2 * WINDOW.length_ms, 3 * FUTURE_KEPT_MS), st.integers(0, WINDOW.length_ms * 3))
def test_the_bucket_of_an_event_decides_by_the_rules_of_the_window(apart: int, since: int) -> None:
    """`apart`: from the arrival to the event's time; `since`: from the arrival to now."""
    arrived = ms(ARRIVED)
    bucket = (arrived + apart) // WINDOW.bucket_ms * WINDOW.bucket_ms
    as_of = arrived + since
    found = verdicts(kafka=InKafka(message(time=ARRIVED + timedelta(milliseconds=apart))), views=views(as_of_ms=as_of))[
        "redis"
    ]
    latest = WINDOW.max_future_ms
    if bucket < WINDOW.start(arrived):
        expected = "redis.late"
    elif bucket > arrived + USUAL_DELAY_MS + latest + FUTURE_KEPT_MS:
        expected = "redis.too_far"
    elif bucket > as_of + latest:
        expected = "redis.future"
    else:
        expected = "redis.counted" if bucket >= WINDOW.start(as_of) else "redis.left"
    assert found[0] == expected
    assert (found[1] is Mark.THERE) == (expected == "redis.counted")


LOADED = Loaded("stage_1", ARRIVED, ARRIVED, 10, 0)
OPEN = replace(LOADED, closed_at=None)
REBUILT = Rebuilt(8, "run", NOW, covers=True)
DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("warehouse", "changes", "kind", "mark"),
    [
        (InWarehouse(True, 101, DAY, LOADED), {}, "warehouse.loaded", Mark.THERE),
        (InWarehouse(True, 101, DAY, LOADED, replace(REBUILT, covers=False)), {}, "warehouse.loaded", Mark.THERE),
        (InWarehouse(True, 101, DAY, LOADED, REBUILT), {}, "warehouse.rebuilt", Mark.THERE),
        (InWarehouse(True, 101, DAY), {}, "warehouse.row", Mark.THERE),
        (InWarehouse(False, 101, DAY, OPEN), {}, "warehouse.open", Mark.WAITS),
        (InWarehouse(False, 100, DAY), {}, "warehouse.waits", Mark.WAITS),
        (InWarehouse(False, 101, DAY, is_being_rebuilt=True), {}, "warehouse.rebuilding", Mark.WAITS),
        (InWarehouse(Unread("away"), 101, DAY, LOADED), {}, "warehouse.noted", Mark.UNKNOWN),
        (InWarehouse(Unread("away"), 101, DAY, None, REBUILT), {}, "warehouse.noted_rebuild", Mark.UNKNOWN),
        (InWarehouse(Unread("away"), 101, DAY), {}, "unread", Mark.UNKNOWN),
        (InWarehouse(False, 101, DAY, LOADED), {}, "warehouse.missing", Mark.NOT_THERE),
        (InWarehouse(False, 101, DAY), {}, "warehouse.absent", Mark.NOT_THERE),
        (InWarehouse(False, 101, DAY), {"letters": Letters((letter("stage"),))}, "warehouse.letter", Mark.NOT_THERE),
        (
            InWarehouse(False, 101, DAY, LOADED, REBUILT),
            {"source": InSource(None, 9)},
            "warehouse.not_in_source",
            Mark.NOT_THERE,
        ),
        (
            InWarehouse(False, None, DAY),
            {"kafka": lost(), "relay": Relayed(Coverage(4))},
            "warehouse.not_published",
            Mark.NOT_THERE,
        ),
        (Unread("away"), {}, "unread", Mark.UNKNOWN),
    ],
)
def test_by_what_the_warehouse_has_it_or_why_not(
    warehouse: InWarehouse | Unread, changes: dict[str, Any], kind: str, mark: Mark
) -> None:
    assert verdicts(warehouse=warehouse, **changes)["warehouse"] == (kind, mark)


def test_what_a_rebuild_has_taken_over_is_told_beside_the_load_and_its_file() -> None:
    warehouse = InWarehouse(True, 101, DAY, LOADED, REBUILT, files=("event_date=2026-03-01/a.parquet",))
    notes = [note.kind for note in trace_of(facts(warehouse=warehouse)).step(Place.WAREHOUSE).notes]
    assert notes == ["warehouse.file", "warehouse.run", "warehouse.loaded_before"]
    left_out = replace(warehouse, load=replace(LOADED, closed_at=NOW + timedelta(minutes=1), covered=3))
    notes = [note.kind for note in trace_of(facts(warehouse=left_out)).step(Place.WAREHOUSE).notes]
    assert notes == ["warehouse.file", "warehouse.run", "warehouse.left_out"]


AGAIN = delivery(became=Became.AGAIN, status=503, reason="status 503")


@pytest.mark.parametrize(
    ("partner", "changes", "kind", "mark"),
    [
        (AtPartner(True, 101, (AGAIN, delivery(tries=2))), {}, "partner.delivered", Mark.THERE),
        (AtPartner(True, 101), {}, "partner.unrecorded", Mark.UNKNOWN),
        (AtPartner(True, 101, kept_since=ARRIVED), {}, "partner.unrecorded", Mark.UNKNOWN),
        (AtPartner(True, 101, is_kept=False), {}, "partner.unrecorded", Mark.UNKNOWN),
        (AtPartner(True, 101), {"letters": Unread("away")}, "partner.settled", Mark.UNKNOWN),
        (AtPartner(True, 101), {"letters": Letters(is_complete=False)}, "partner.settled", Mark.UNKNOWN),
        (AtPartner(True, 100), {}, "partner.waits", Mark.WAITS),
        (AtPartner(True, None), {}, "partner.waits", Mark.WAITS),
        (AtPartner(True, None, same_topic=False), {}, "partner.other_topic", Mark.UNKNOWN),
        (AtPartner(True, 100, (AGAIN,)), {}, "partner.tried", Mark.WAITS),
        (AtPartner(True, 101, (AGAIN,)), {"letters": Letters((letter("forward"),))}, "partner.letter", Mark.NOT_THERE),
        (AtPartner(False, None), {}, "partner.none", Mark.NOT_THERE),
        (AtPartner(True, None), {"kafka": lost()}, "partner.not_found", Mark.UNKNOWN),
        (
            AtPartner(True, None),
            {"kafka": lost(), "relay": Relayed(Coverage(4))},
            "partner.not_published",
            Mark.NOT_THERE,
        ),
        (Unread("away"), {}, "unread", Mark.UNKNOWN),
    ],
)
def test_what_was_tried_at_the_partner_and_what_became_of_it(
    partner: AtPartner | Unread, changes: dict[str, Any], kind: str, mark: Mark
) -> None:
    assert verdicts(partner=partner, **changes)["partner"] == (kind, mark)


def test_each_try_and_each_letter_is_told_with_what_was_done() -> None:
    action = Action("redrive", "ana@here", "they have mended it", NOW, NOW, "done", "to the partner")
    told = trace_of(
        facts(partner=AtPartner(True, 101, (AGAIN, delivery(tries=2))), letters=Letters((letter("forward", action),)))
    )
    assert [english(note) for note in told.step(Place.PARTNER).notes] == [
        "2026-03-01 11:59:35.000 UTC: status 503 after 0.02 s, again (try 1, with 1 events)",
        "2026-03-01 11:59:35.000 UTC: status 200 after 0.02 s, delivered (try 2, with 1 events)",
        "Dead letter 0:3 of forward, redriven: status 422",
        "0:3 redrive at 2026-03-01 12:00:05.000 UTC by ana@here: done; to the partner; they have mended it",
    ]


def test_a_trace_is_json_with_kinds_for_programs_and_sentences_for_people() -> None:
    away = Unread("away")
    for trace in (
        trace_of(facts()),
        trace_of(facts(source=away, relay=away, kafka=away, views=away, warehouse=away, partner=away, letters=away)),
    ):
        told = json.loads(json.dumps(to_object(trace, english)))
        assert list(told["places"]) == ["source", "kafka", "redis", "warehouse", "partner"]
        for place in told["places"].values():
            assert place["sentence"] == english(Said(place["kind"], place["values"]))
            assert place["state"] in {mark.value for mark in Mark}
    assert {place["state"] for place in told["places"].values()} == {"not known"}


def test_every_sentence_of_the_texts_is_said_somewhere_and_no_other() -> None:
    kinds = {key.removeprefix("trace.") for key in texts._all() if key.startswith("trace.")}
    files = [file.read_text() for file in Path(package.__path__[0]).glob("*.py")]
    literals = {kind for text in files for kind in re.findall(r'"([a-z]+\.[a-z_]+|unread)"', text)}
    assert literals == kinds


def test_how_long_what_lies_ahead_is_kept_is_the_rule_of_the_script() -> None:
    script = resources.files("engagement_platform.adapters.redis").joinpath("apply.lua").read_text()
    assert f"local FUTURE_KEPT_MS = {FUTURE_KEPT_MS}\n" in script
