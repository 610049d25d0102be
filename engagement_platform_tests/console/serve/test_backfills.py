"""Backfills that were asked for here: recorded before they are started, and told of until they end."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import date, datetime, timedelta

import dagster as dg
import pytest

from engagement_platform.adapters.platform.audit import Audit, Change
from engagement_platform.console.serve import backfills
from engagement_platform.console.serve.backfills import Backfills, JobState, OtherRequest, in_words, launch
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.removal import TAG
from engagement_platform.orchestration.warehouse import backfill
from engagement_platform.settings import Settings
from engagement_platform_tests.console.serve.conftest import NOWHERE
from engagement_platform_tests.console.serve.days_made import recorded
from engagement_platform_tests.streaming import wait_for

DAYS = [date(2026, 3, 2), date(2026, 3, 1), date(2026, 3, 1), date(2026, 3, 4)]


def launched(settings: Settings, days: Sequence[date], who: str, allow_removal: bool) -> str:
    return "bmyxgkqp"


def refused(settings: Settings, days: Sequence[date], who: str, allow_removal: bool) -> str:
    raise EngagementError("Dagster's daemon does not run.", "Start it.")


@pytest.fixture
def audit(settings: Settings) -> Iterator[Audit]:
    with Audit.opened(settings, "test") as opened:
        yield opened


def ended(audit: Audit) -> Change:
    (change,) = audit.latest(9)
    wait_for(lambda: audit.latest(9)[0].outcome, "the end of the change")
    assert change.number == audit.latest(9)[0].number
    return audit.latest(9)[0]


def test_it_is_recorded_who_asked_for_which_days_and_what_came_of_it(settings: Settings, audit: Audit) -> None:
    started = Backfills(launched)
    job = started.start(settings, DAYS, "me from here", allow_removal=True)
    assert job.days == (date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 4))
    change = ended(audit)
    assert (change.who, change.action, change.subject) == (
        "me from here", "backfill", "2026-03-01 to 2026-03-02, 2026-03-04",
    )  # fmt: skip
    assert change.detail == {"days": ["2026-03-01", "2026-03-02", "2026-03-04"], "allow_removal": True}
    assert change.outcome == "started: backfill bmyxgkqp"
    known = started.get(job.id)
    assert known is not None
    assert (known.state, known.backfill_id) == (JobState.STARTED, "bmyxgkqp")
    assert abs(known.asked_at - change.begun_at) < timedelta(seconds=5), "by the database's clock, as rebuilds are"


def test_what_dagster_refuses_is_recorded_too(settings: Settings, audit: Audit) -> None:
    started = Backfills(refused)
    job = started.start(settings, DAYS, "me")
    assert ended(audit).outcome == "failed: Dagster's daemon does not run. Start it."
    wait_for(lambda: (known := started.get(job.id)) and known.state is JobState.FAILED, "the failure")
    known = started.get(job.id)
    assert known is not None
    assert known.fault == "Dagster's daemon does not run. Start it."


def test_where_nothing_can_be_recorded_nothing_is_started() -> None:
    started = Backfills(lambda *_: pytest.fail("started"))
    with pytest.raises(Unavailable):
        started.start(NOWHERE, DAYS, "me", key="k")
    assert started.latest() == []


def test_jobs_are_kept_for_a_day_and_so_are_their_keys(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Backfills(launched)
    first = started.start(settings, DAYS, "me", key="k")
    assert started.start(settings, DAYS, "me", key="k").id == first.id
    with pytest.raises(OtherRequest):
        started.start(settings, DAYS[:1], "me", key="k")
    monkeypatch.setattr(backfills, "KEPT_SECONDS", -60.0)
    second = started.start(settings, DAYS[:1], "me", key="other")
    assert [job.id for job in started.latest()] == [second.id]
    assert started.latest("orders") == []


def test_a_job_that_goes_on_while_others_are_asked_for_is_neither_lost_nor_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is noted under the lock under which the others are sorted out: here, while somebody else has it."""
    may_end, has_launched = threading.Event(), threading.Event()

    def slow(settings: Settings, days: Sequence[date], who: str, allow_removal: bool) -> str:
        assert may_end.wait(30)
        has_launched.set()
        return "bmyxgkqp"

    monkeypatch.setattr(backfills, "_recorded", recorded)
    started = Backfills(slow)
    job = started.start(NOWHERE, DAYS, "me")
    with started._lock:
        before = dict(started._jobs)
        may_end.set()
        assert has_launched.wait(30)
        time.sleep(0.1)
        started._jobs = before
    wait_for(lambda: (known := started.get(job.id)) and known.state is JobState.STARTED, "its start")
    may_end.clear()
    has_launched.clear()
    second = started.start(NOWHERE, DAYS[:1], "me")
    started._forget(second, None)
    may_end.set()
    assert has_launched.wait(30)
    time.sleep(0.1)
    assert started.get(second.id) is None, "one that is forgotten stays so"


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([], ""), ([DAYS[0]], "2026-03-02"), (DAYS, "2026-03-01 to 2026-03-02, 2026-03-04"),
        ([date(2026, 2, 28), date(2026, 3, 1)], "2026-02-28 to 2026-03-01"),
    ],
)  # fmt: skip
def test_days_in_short(days: list[date], said: str) -> None:
    assert in_words(days) == said


def test_a_time_is_that_of_a_zone(settings: Settings) -> None:
    job = Backfills(launched).start(settings, DAYS, "me")
    assert isinstance(job.asked_at, datetime)
    assert job.asked_at.utcoffset() == timedelta(0)


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance without a daemon, in the place of that of DAGSTER_HOME."""
    with dg.DagsterInstance.ephemeral() as made:
        monkeypatch.setattr("engagement_platform.console.stale.instance", lambda: nullcontext(made))
        yield made


def test_without_a_daemon_nothing_is_launched(dagster: dg.DagsterInstance) -> None:
    with pytest.raises(EngagementError, match="Dagster's daemon does not run"):
        launch(NOWHERE, DAYS[:1], "me", allow_removal=False)


@pytest.mark.parametrize("allow_removal", [True, False])
def test_what_is_launched_are_the_days_of_all_tables_of_the_stream(
    dagster: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, allow_removal: bool
) -> None:
    asked: list[str] = []

    def mutate(field: str, success: str) -> dict[str, str]:
        asked.append(field)
        return {"backfillId": "bmyxgkqp"}

    monkeypatch.setattr(backfill, "require_daemon", lambda _: None)
    monkeypatch.setattr(backfill, "mutate", mutate)
    assert launch(NOWHERE, DAYS[:2], 'anna "the 1st" from here', allow_removal) == "bmyxgkqp"
    (field,) = asked
    assert '["2026-03-01", "2026-03-02"]' in field
    for table in ("engagement_events", "daily_content_engagement", "daily_device_engagement"):
        assert f'{{path: ["warehouse", "{table}"]}}' in field
    who = json.dumps('anna "the 1st" from here')
    assert f'{{key: "engagement/started_by", value: {who}}}' in field
    assert (TAG in field) == allow_removal
