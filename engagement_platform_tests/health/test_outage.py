"""What the page tells where Dagster cannot: over a real webhook, and a file that outlives the process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement_platform.domain.conditions import Condition
from engagement_platform.domain.dagster_facts import Daemon, DagsterFacts
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.judgement.dagster import dagster_conditions
from engagement_platform.health import outage
from engagement_platform.health.outage import FILE, OutageAlerts, unreadable_all
from engagement_platform.settings import Alerting
from engagement_platform_tests.alert_receiver import AlertReceiver

AWAY = Unavailable("The platform database does not answer.", "Start it.", server="the platform database")
NOW = 1_000_000.0


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LOOK_SECONDS", 0.0)


class Page:
    """A process that serves the page, and is started again now and then."""

    def __init__(self, receiver: AlertReceiver, state: Path) -> None:
        self._alert, self._state = Alerting.model_validate({"alert_url": receiver.url}), state
        self.now = NOW
        self.restart()

    def restart(self) -> None:
        self._alerts = OutageAlerts(self._alert, self._state)

    def look_for(self, seconds: int, *present: Condition, is_dagster_known: bool = False) -> str:
        said = ""
        for _ in range(0, seconds, 10):
            self.now += 10
            said = self._alerts.look(present, is_dagster_known=is_dagster_known, now=self.now)
        return said


def test_that_the_database_is_away_is_told_once_over_restarts_and_so_is_its_end(
    receiver: AlertReceiver, tmp_path: Path
) -> None:
    page = Page(receiver, tmp_path / "state")
    away = unreadable_all(AWAY, NOW)
    for _ in range(3):
        page.look_for(60, *away)
        page.restart()
    assert receiver.told == [("began", "unreadable", "")]
    for _ in range(3):
        page.look_for(60, is_dagster_known=True)
        page.restart()
    assert receiver.told == [("began", "unreadable", ""), ("over", "unreadable", "")]
    began, over = receiver.taken
    assert over.body["data"]["alert"] == began.id
    page.now += 3_600
    page.look_for(20, is_dagster_known=True)
    assert (tmp_path / "state" / FILE).read_text() == ""


def test_one_that_is_not_taken_is_sent_again_under_the_same_id(receiver: AlertReceiver, tmp_path: Path) -> None:
    page = Page(receiver, tmp_path)
    receiver.answers(500)
    assert "status 500" in page.look_for(60, *unreadable_all(AWAY, NOW))
    receiver.answers(200)
    page.look_for(20, *unreadable_all(AWAY, NOW))
    assert len(receiver.taken) == 1
    assert len({one.id for one in receiver.asked}) == 1


def test_where_dagster_can_be_read_its_sensor_tells_it(receiver: AlertReceiver, tmp_path: Path) -> None:
    page = Page(receiver, tmp_path)
    page.look_for(120, *unreadable_all(AWAY, NOW), is_dagster_known=True)
    (backfills,) = dagster_conditions(DagsterFacts(NOW, daemons=[Daemon("BACKFILL", None, is_healthy=False)]))
    page.look_for(120, backfills, is_dagster_known=True)
    assert not receiver.asked
    (sensors,) = dagster_conditions(DagsterFacts(NOW, daemons=[Daemon("SENSOR", None, is_healthy=False)]))
    page.look_for(120, sensors, is_dagster_known=True)
    assert receiver.told == [("began", "daemon_silent", "")]
