"""What the page tells the webhook of alerts: what Dagster's sensor cannot."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from engagement_platform.console.serve.outages import look_at, outage_alerts
from engagement_platform.console.serve.sampler import Sampler as RealSampler
from engagement_platform.domain.alerts import BEGINS_AFTER
from engagement_platform.domain.conditions import Condition, Kind
from engagement_platform.domain.dagster_facts import Daemon, DagsterFacts
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.judgement.dagster import dagster_conditions, unreadable_dagster
from engagement_platform.health import outage
from engagement_platform.health.outage import OutageAlerts, unreadable_all
from engagement_platform.settings import Alerting, Settings
from engagement_platform_tests.alert_receiver import AlertReceiver
from engagement_platform_tests.streaming import wait_for

AWAY = Unavailable("The platform database does not answer.", server="the platform database")


@dataclass
class Looked:
    """A sample, as far as it is looked at."""

    number: int = 1
    conditions: tuple[Condition, ...] = ()
    dagster: DagsterFacts | EngagementError | None = None


@dataclass
class Sampler:
    latest: Looked = field(default_factory=Looked)


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LOOK_SECONDS", 0.0)


def look_for(seconds: int, sampler: Any, alerts: OutageAlerts, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.time()
    with monkeypatch.context() as clock:
        for later in range(0, seconds, 10):
            clock.setattr(time, "time", lambda later=later: begin + later)
            look_at(sampler, alerts)


def test_a_daemon_that_is_silent_and_a_storage_that_is_away_are_told(
    receiver: AlertReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = OutageAlerts(Alerting.model_validate({"alert_url": receiver.url}), tmp_path)
    sampler = Sampler()
    look_for(300, sampler, alerts, monkeypatch)
    assert not receiver.asked, "nobody has said where Dagster is"
    silent = DagsterFacts(time.time(), daemons=[Daemon("SENSOR", time.time() - 300, is_healthy=False)])
    sampler.latest = Looked(1, tuple(dagster_conditions(silent)), silent)
    look_for(120, sampler, alerts, monkeypatch)
    assert receiver.told == [("began", "daemon_silent", "")]
    sampler.latest = Looked(2, tuple(unreadable_all(AWAY, time.time())), AWAY)
    look_for(120, sampler, alerts, monkeypatch)
    assert receiver.told[1:] == [("began", "unreadable", "")]


def test_a_daemon_that_was_silent_is_not_over_because_dagster_cannot_be_read(
    receiver: AlertReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = OutageAlerts(Alerting.model_validate({"alert_url": receiver.url}), tmp_path)
    silent = DagsterFacts(time.time(), daemons=[Daemon("SENSOR", time.time() - 300, is_healthy=False)])
    sampler = Sampler(Looked(1, tuple(dagster_conditions(silent)), silent))
    look_for(120, sampler, alerts, monkeypatch)
    away = Unavailable("Dagster's storage does not answer.", server="Dagster's storage")
    sampler.latest = Looked(2, (unreadable_dagster(away, time.time()),), away)
    look_for(300, sampler, alerts, monkeypatch)
    assert receiver.told == [("began", "daemon_silent", ""), ("began", "dagster_unreadable", "")]
    sampler.latest = Looked(3, (), DagsterFacts(time.time() + 900, daemons=[]))
    look_for(300, sampler, alerts, monkeypatch)
    assert sorted(receiver.told[2:]) == [("over", "daemon_silent", ""), ("over", "dagster_unreadable", "")]


def test_where_the_storage_gives_no_answer_the_page_tells_that_the_database_is_away(
    receiver: AlertReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was read before nobody can say that the sensor still tells it."""
    alerts = OutageAlerts(Alerting.model_validate({"alert_url": receiver.url}), tmp_path)
    sampler = Sampler(Looked(1, tuple(unreadable_all(AWAY, time.time())), DagsterFacts(time.time())))
    look_for(50, sampler, alerts, monkeypatch)
    assert not receiver.told
    look_for(150, sampler, alerts, monkeypatch)
    assert receiver.told == [("began", "unreadable", "")]


def test_where_nobody_is_told_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler: Any = Sampler()
    assert outage_alerts(sampler, {}) is None
    monkeypatch.setenv("ENGAGEMENT_ALERT_URL", "http://127.0.0.1:1/")
    assert outage_alerts(sampler, {}) is not None
    monkeypatch.setenv("ENGAGEMENT_ALERT_FORM", "pigeon")
    assert outage_alerts(sampler, {}) is None


def test_a_page_whose_database_and_dagster_are_away_tells_it(
    receiver: AlertReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it: what is read, what is judged, who looks, and what arrives."""

    def away() -> Any:
        raise Unavailable("Dagster's storage does not answer.", server="Dagster's storage")

    nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/away")
    settings = Settings.of(source_dsn=nowhere, platform_dsn=nowhere, state_dir=tmp_path)
    monkeypatch.setenv("ENGAGEMENT_ALERT_URL", receiver.url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setitem(BEGINS_AFTER, Kind.UNREADABLE, 0.0)
    sampler = RealSampler({"engagement": settings})
    sampler._dagster._open = away
    alerts = outage_alerts(sampler, {"engagement": settings})
    assert alerts is not None
    monkeypatch.setattr(alerts, "_pause", lambda: 0.1)
    sampler.start()
    alerts.start()
    try:
        wait_for(lambda: receiver.told == [("began", "unreadable", "")], "the alert")
    finally:
        alerts.stop()
        sampler.stop()
    assert "ENGAGEMENT_PLATFORM_DSN" in receiver.taken[0].body["data"]["todo"]
