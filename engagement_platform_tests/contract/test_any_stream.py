"""What is promised of any stream: relay, stage, forward, rebuild, comparison, replay, redrive and erasure.

The tally's contract runs for other streams in `stream/tally/test_other_streams.py`.
"""

import json
from datetime import date
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.source.history import Happened
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.dead_letters.redrive import Redriven, redrive
from engagement_platform.domain.days import bounds
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.reconciliation import named
from engagement_platform.domain.removal import RemovalRefused
from engagement_platform.history.erase import days_of_user
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.reconcile import reconcile_days, strange_days
from engagement_platform.history.replay import replay
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.contract.streams import CASES, Under
from engagement_platform_tests.streaming import drain, read_all
from engagement_platform_tests.warehouse import DAY, NEXT

pytestmark = pytest.mark.servers
ALL = pytest.mark.parametrize("under", CASES, indirect=True)


def ids_of(under: Under, records: list[Any]) -> list[int]:
    return sorted(json.loads(record.value)[under.stream.source.id] for record in records)


def streamed(under: Under) -> None:
    drain(relay.run, under.settings)
    drain(stage.run, under.settings)


def findings(under: Under, day: date = DAY) -> Any:
    return reconcile_days(under.settings, [day], 0)[0]


def test_relay_publishes_each_event_once_under_its_key_whatever_the_order_of_commits(under: Under) -> None:
    with psycopg.connect(under.writer_dsn) as late:
        ids = under.insert(2, connection=late)
        ids += under.insert(3)
        drain(relay.run, under.settings)
        late.commit()
    drain(relay.run, under.settings)
    unbelievable = under.insert(1, "infinity")
    ids += under.insert(1, columns={under.stream.key: None})
    drain(relay.run, under.settings)
    drain(relay.run, under.settings)
    records = under.published()
    assert ids_of(under, records) == sorted(ids)
    for record in records:
        key = json.loads(record.value)[under.stream.key]
        assert record.key == (None if key is None else str(key).encode())
    with dead_letters_of(under.settings) as letters:
        (letter,) = letters.chosen(Chosen())
    assert letter.content.event_id == unbelievable[0]
    assert letter.content.reason.startswith(f"{under.stream.source.time} is outside the years 1 to 9999")


@ALL
def test_what_is_staged_and_what_is_rebuilt_equal_the_source(under: Under) -> None:
    under.insert(3, DAY)
    under.insert(2, NEXT)
    streamed(under)
    drain(stage.run, under.settings)
    assert not findings(under).differs
    assert (findings(under).source_rows, findings(under, NEXT).table_rows) == (3, 2)
    under.insert(2, DAY)
    drain(relay.run, under.settings)
    assert [day.rows for day in rebuild_days(under.settings, [DAY, NEXT], "beside the stream")] == [5, 2]
    drain(stage.run, under.settings)
    found = findings(under)
    assert not found.differs, found
    assert found.table_rows == 5, "what the rebuild has seen is not added by the stage"
    assert strange_days(under.settings, DAY, DAY).events == 2


@ALL
def test_a_comparison_names_whatever_differs_and_a_rebuild_mends_it(under: Under) -> None:
    under.insert(6 + len(under.case.updates), DAY)
    streamed(under)
    late = under.insert(1, DAY)
    under.delete(2)
    time = under.stream.source.time
    under.change(f"{time} = {time} + interval '1 day'", 3)
    for number, update in enumerate(under.case.updates, start=5):
        under.change(update, number)
    measures = [measure.column for measure in under.stream.views.measures if measure.column is not None]
    for measure in measures:
        under.change(f"{measure} = {measure} + 1", 4)
    found = findings(under)
    assert (found.awaited, found.surplus, found.moved) == (named(late), named([2]), named([3]))
    assert found.changed == named(range(5, 5 + len(under.case.updates)))
    assert found.different == named([4] if measures else [])
    assert list(found.sums) == [column.name for column in _in_order(under, measures)]
    rebuild_days(under.settings, [DAY, NEXT], "repair")
    assert not findings(under).differs
    assert not findings(under, NEXT).differs


def _in_order(under: Under, measures: list[str]) -> list[Any]:
    from engagement_platform.adapters.source.describe import describe
    from engagement_platform.adapters.source.origin import origin_of

    schema = describe(origin_of(under.settings), under.owner)
    return [column for column in schema.columns if column.name in measures]


@pytest.mark.parametrize("under", ["orders"], indirect=True)
def test_what_no_row_can_hold_is_a_dead_letter_of_the_stage_or_named_by_the_comparison(under: Under) -> None:
    name, _, value = under.case.unfit.partition(" = ")
    under.insert(1, DAY)
    unfit = under.insert(1, DAY, {name: value.strip("'")})
    rebuild_days(under.settings, [DAY], "before the stream")
    found = findings(under)
    assert (found.unfit, found.missing, found.table_rows) == (named(unfit), named([]), 1)
    assert not found.differs
    streamed(under)
    found = findings(under)
    assert (found.unfit, found.dead_letters, found.differs) == (named([]), 1, False)


def test_a_rebuild_that_would_take_too_much_away_is_refused(under: Under) -> None:
    ids = under.insert(4, DAY)
    streamed(under)
    under.delete(*ids[:3])
    with pytest.raises(RemovalRefused):
        rebuild_days(under.settings, [DAY], "refused")
    assert findings(under).surplus == named(ids[:3])
    rebuild_days(under.settings, [DAY], "allowed", allow_removal=True)
    assert not findings(under).differs


def test_a_replay_has_the_keys_and_values_of_before(under: Under) -> None:
    under.insert(3, DAY)
    under.insert(1, NEXT)
    drain(relay.run, under.settings)
    assert replay(under.settings, Happened(*bounds(DAY))) == 3
    again = read_all(under.settings, under.settings.topics.replays)
    before = {record.value: record.key for record in under.published()}
    assert ids_of(under, again) == [1, 2, 3]
    assert all(before[record.value] == record.key for record in again)
    assert len(before) == 4


def partnered(under: Under, receiver: Receiver) -> Settings:
    return under.settings.replace(
        api_url=SecretStr(receiver.url), forward_group=f"forward-{under.settings.topics.events}", api_batch_size=2
    )


def test_the_partner_gets_every_event_and_what_it_refused_is_redriven(under: Under) -> None:
    with Receiver() as receiver:
        ours = partnered(under, receiver)
        ids = under.insert(5, DAY)
        drain(relay.run, ours)
        keys = [f"{under.stream.name}-event-{number}" for number in ids]
        receiver.behave(Behaviour(poison=frozenset({keys[1]})))
        drain(forward.run, ours)
        receiver.behave(Behaviour())
        told: list[Redriven] = []
        assert redrive(ours, Chosen(), "me", "a test", told.extend) == (1, 0)
        drain(forward.run, ours)
        assert sorted(delivery.key for delivery in receiver.deliveries) == sorted(keys)
        assert receiver.state.malformed == 0
    (sent,) = read_all(ours, ours.topics.replays)
    before = {record.value: record.key for record in under.published()}
    assert before[sent.value] == sent.key


def test_a_letter_whose_event_the_source_has_by_now_is_redriven_from_there(under: Under) -> None:
    number = under.insert(1, "infinity")[0]
    under.insert(1, DAY)
    drain(relay.run, under.settings)
    told: list[Redriven] = []
    assert redrive(under.settings, Chosen(), "me", "", told.extend) == (0, 1)
    assert told[0].note.startswith(f"{under.stream.source.time} is outside the years")
    under.change(f"{under.stream.source.time} = '{DAY} 10:00:00+00'", number)
    assert redrive(under.settings, Chosen(), "me", "", told.extend) == (1, 0)
    assert told[1].note == f"{DAY} is due for a rebuild"


@ALL
def test_a_user_is_erased_from_the_days_that_held_it(under: Under) -> None:
    user = under.stream.user
    if user is None:
        with pytest.raises(EngagementError, match="no column that names a person"):
            days_of_user(under.settings, "7")
        return
    gone = under.case.row[user]
    ids = under.insert(2, DAY)
    under.insert(2, NEXT, {user: None})
    streamed(under)
    with pytest.raises(EngagementError, match="still has 2 events"):
        days_of_user(under.settings, str(gone))
    under.delete(*ids)
    assert days_of_user(under.settings, str(gone)) == [DAY]
    rebuild_days(under.settings, [DAY], "erase", allow_removal=True)
    assert days_of_user(under.settings, str(gone)) == []
