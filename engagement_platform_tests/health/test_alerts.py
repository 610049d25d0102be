"""What is wrong is told over a real database and a real webhook: in order, kept until delivered, under one id."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.domain.alerts import GIVES_UP_REFUSED, MOST_UNDELIVERED, Alert, Watch
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.health.alerts import deliver, note
from engagement_platform.settings import Settings
from engagement_platform_tests.alert_receiver import AlertReceiver
from engagement_platform_tests.health.support import let_time_pass, sql
from engagement_platform_tests.streaming import wait_for

BEGAN = "began"


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


@pytest.fixture
def told(platform: Settings, receiver: AlertReceiver) -> Settings:
    return platform.replace(alert_url=SecretStr(receiver.url))


@pytest.fixture
def alerts(told: Settings) -> Iterator[Alerts]:
    with Alerts.opened(told, "test") as made:
        yield made


def paused(subject: str) -> Condition:
    return Condition(Kind.LOOP_PAUSED, Severity.WARNING, "engagement", subject, time.time(), f"{subject} is paused.")


def sees_all(_: Condition) -> bool:
    return True


def test_a_beginning_and_an_end_are_told_once_however_often_is_looked(
    told: Settings, alerts: Alerts, receiver: AlertReceiver
) -> None:
    for _ in range(3):
        note(alerts, [paused("stage")], sees_all)
        deliver(alerts, told.alert)
    assert receiver.told == [(BEGAN, "loop_paused", "stage")]
    for _ in range(3):
        note(alerts, [], sees_all)
        let_time_pass(told, 20)
        deliver(alerts, told.alert)
    assert receiver.told == [(BEGAN, "loop_paused", "stage"), ("over", "loop_paused", "stage")]
    began, over = receiver.taken
    assert over.body["data"]["alert"] == began.body["data"]["alert"] == began.id
    assert alerts.standing().waiting == 0


def test_what_nobody_takes_waits_in_its_order_and_over_restarts(told: Settings, receiver: AlertReceiver) -> None:
    receiver.down()
    for subject in ("stage", "forward", "tally"):
        with Alerts.opened(told, "test") as alerts:  # as after a restart
            note(alerts, [paused(subject)], sees_all)
            delivered = deliver(alerts, told.alert)
            assert (delivered.number, alerts.standing().waiting > 0) == (0, True)
    with Alerts.opened(told, "test") as alerts:
        assert "did not take the alert" in alerts.standing().answer
        assert "secret-of-the-hook" not in alerts.standing().answer
    receiver.up()
    let_time_pass(told, 60)
    with Alerts.opened(told, "test") as alerts:
        assert deliver(alerts, told.alert).number == 3
    assert [subject for *_, subject in receiver.told] == ["stage", "forward", "tally"]


def test_between_tries_there_is_a_pause_that_grows_and_that_the_receiver_may_ask_for(
    told: Settings, alerts: Alerts, receiver: AlertReceiver
) -> None:
    note(alerts, [paused("stage")], sees_all)
    receiver.answers(500)
    rests = []
    for _ in range(5):
        assert "status 500" in deliver(alerts, told.alert).failure
        asked = len(receiver.asked)
        deliver(alerts, told.alert)
        assert len(receiver.asked) == asked, "it rests"
        first = alerts.first()
        assert first is not None
        rests.append(round(first.rest_seconds))
        let_time_pass(told, 300)
    assert rests == sorted(rests)
    assert (rests[0], rests[-1]) == (4, 30)
    receiver.answers(429, headers={"Retry-After": "120"})
    deliver(alerts, told.alert)
    first = alerts.first()
    assert first is not None
    assert 110 < first.rest_seconds <= 120


DELIVER = """
import sys
from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.health.alerts import deliver
from engagement_platform.settings import Settings
told = Settings.of(source_dsn="postgresql://unused", platform_dsn=sys.argv[1], alert_url=sys.argv[2])
with Alerts.opened(told, "test") as alerts:
    deliver(alerts, told.alert)
"""


def test_a_process_that_is_killed_between_sending_and_noting_lets_it_come_twice_under_one_id(
    told: Settings, alerts: Alerts, receiver: AlertReceiver
) -> None:
    note(alerts, [paused("stage")], sees_all)
    arguments = [told.platform.dsn.get_secret_value(), receiver.url]
    process = subprocess.Popen([sys.executable, "-c", DELIVER, *arguments])
    receiver.when_asked = process.kill
    assert process.wait(60) == -signal.SIGKILL
    receiver.when_asked = lambda: None
    wait_for(lambda: deliver(alerts, told.alert).number == 1, "the database to let go of the dead process")
    first, second = receiver.taken
    assert (first.id, first.body) == (second.id, second.body)


def test_a_process_that_dies_before_it_has_decided_tells_it_at_the_next_look(told: Settings, alerts: Alerts) -> None:
    def dies(watch: Watch | None, now: float) -> tuple[Watch, list[Alert]]:
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        alerts.look(dies)
    assert len(note(alerts, [paused("stage")], sees_all)) == 1
    assert not note(alerts, [paused("stage")], sees_all)


def test_two_who_look_at_once_tell_it_once(told: Settings, alerts: Alerts, receiver: AlertReceiver) -> None:
    with Alerts.opened(told, "test") as other:
        assert [len(note(one, [paused("stage")], sees_all)) for one in (alerts, other)] == [1, 0]
        assert alerts.may_deliver()
        assert deliver(other, told.alert).number == 0
    assert deliver(alerts, told.alert).number == 1
    assert len(receiver.taken) == 1


def test_two_code_locations_tell_their_own_and_take_nothing_of_each_other_for_gone(
    told: Settings, alerts: Alerts, receiver: AlertReceiver
) -> None:
    ours, theirs = paused("stage"), replace(paused("tally"), stream="orders")
    for _ in range(3):
        note(alerts, [ours], sees_all, "a")
        note(alerts, [theirs], sees_all, "b")
        let_time_pass(told, 60)
    deliver(alerts, told.alert)
    assert receiver.told == [(BEGAN, "loop_paused", "stage"), (BEGAN, "loop_paused", "tally")]
    note(alerts, [], sees_all, "b")
    let_time_pass(told, 20)
    note(alerts, [ours], sees_all, "a")
    note(alerts, [], sees_all, "b")
    deliver(alerts, told.alert)
    assert receiver.told[2:] == [("over", "loop_paused", "tally")]


def test_what_the_version_before_has_told_is_told_once(told: Settings, alerts: Alerts) -> None:
    note(alerts, [paused("stage")], sees_all)
    sql(
        told,
        "WITH moved AS (DELETE FROM engagement_platform.location_watch RETURNING looked_at, memories) "
        "INSERT INTO engagement_platform.alert_watch (looked_at, memories) SELECT * FROM moved",
    )
    assert not note(alerts, [paused("stage")], sees_all)


def test_a_message_that_the_receiver_dislikes_holds_up_the_others_for_three_tries(
    told: Settings, alerts: Alerts, receiver: AlertReceiver
) -> None:
    note(alerts, [paused("stage")], sees_all)
    note(alerts, [paused("stage"), paused("tally")], sees_all)
    receiver.answers(400, b"invalid_payload")
    for _ in range(GIVES_UP_REFUSED):
        assert "status 400: invalid_payload" in deliver(alerts, told.alert).failure
        let_time_pass(told, 300)
    receiver.answers(200)
    deliver(alerts, told.alert)
    assert receiver.told == [(BEGAN, "loop_paused", "tally")]
    assert alerts.standing().given_up == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_address_that_is_wrong_keeps_all_until_it_is_put_right(
    told: Settings, alerts: Alerts, receiver: AlertReceiver, status: int
) -> None:
    note(alerts, [paused("stage")], sees_all)
    receiver.answers(status)
    for _ in range(GIVES_UP_REFUSED + 2):
        deliver(alerts, told.alert)
        let_time_pass(told, 300)
    receiver.answers(200)
    assert deliver(alerts, told.alert).number == 1


def test_what_waits_for_a_day_or_is_too_much_is_dropped_the_oldest_first(
    told: Settings, alerts: Alerts, receiver: AlertReceiver
) -> None:
    receiver.down()
    for subject in ("a", "b"):
        note(alerts, [paused(subject)], sees_all)
    sql(told, "UPDATE engagement_platform.alert SET made_at = now() - interval '25 hours' WHERE number = 1")
    alerts.bound()
    assert (alerts.standing().waiting, alerts.standing().given_up) == (1, 1)
    sql(
        told,
        "INSERT INTO engagement_platform.alert (id, message) SELECT 'x' || n, message FROM engagement_platform.alert, "
        f"generate_series(1, {MOST_UNDELIVERED}) AS n WHERE number = 2",
    )
    alerts.bound()
    standing = alerts.standing()
    assert (standing.waiting, standing.given_up) == (MOST_UNDELIVERED, 2)
    first = alerts.first()
    assert first is not None
    assert first.number > 2


GIVEN_UP = {"expired": "made_at = now() - interval '25 hours'", "refused": "tries = 2"}


@pytest.mark.parametrize("outcome", GIVEN_UP)
def test_what_was_given_up_is_told_an_hour_later_if_it_lasts(
    told: Settings, alerts: Alerts, receiver: AlertReceiver, outcome: str
) -> None:
    note(alerts, [paused("stage"), paused("tally")], sees_all)
    receiver.answers(400)
    for number in (1, 2):
        sql(
            told,
            f"UPDATE engagement_platform.alert SET next_try_at = now(), {GIVEN_UP[outcome]} WHERE number = {number}",
        )
        deliver(alerts, told.alert)
    assert sql(told, "SELECT DISTINCT outcome FROM engagement_platform.alert") == [(outcome,)]
    receiver.answers(200)
    note(alerts, [paused("stage"), paused("tally")], sees_all)
    assert deliver(alerts, told.alert).number == 0, "the others have their turn"
    sql(told, "UPDATE engagement_platform.alert SET ended_at = now() - interval '61 minutes'")
    note(alerts, [paused("stage")], sees_all)
    assert deliver(alerts, told.alert).number == 1
    assert receiver.told == [(BEGAN, "loop_paused", "stage")]
    assert not note(alerts, [paused("stage")], sees_all)
    let_time_pass(told, 60)
    note(alerts, [], sees_all)
    let_time_pass(told, 60)
    note(alerts, [], sees_all)
    deliver(alerts, told.alert)
    assert receiver.told[1:] == [("over", "loop_paused", "stage")]


def test_slack_gets_its_form(told: Settings, alerts: Alerts, receiver: AlertReceiver) -> None:
    note(alerts, [replace(paused("stage"), what="Stage <is> paused & rests.")], sees_all)
    slack = told.replace(alert_form="slack", alert_link="http://page:3010")
    assert deliver(alerts, slack.alert).number == 1
    (received,) = receiver.taken
    assert set(received.body) == {"text", "blocks"}
    assert "Stage &lt;is&gt; paused &amp; rests." in received.body["text"]
    assert "<http://page:3010/|Show>" in received.body["blocks"][0]["text"]["text"]


def test_what_a_later_version_remembers_is_left_out(told: Settings, alerts: Alerts) -> None:
    note(alerts, [paused("stage")], sees_all)
    sql(
        told,
        "UPDATE engagement_platform.location_watch SET memories = memories || "
        """'[{"condition": {"kind": "of_tomorrow"}, "is_present": true}]'""",
    )
    assert not note(alerts, [paused("stage")], sees_all)
    with alerts.session.connected():
        alerts.prune(0)
