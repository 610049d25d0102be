"""What keeps a backfill waiting is named."""

import time
from collections.abc import Iterator

import dagster as dg
import psycopg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.definitions import definitions
from engagement_platform.orchestration.warehouse.backfill import obstacles
from engagement_platform.settings import Settings

LIMITED = {
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"},
    "concurrency": {"runs": {"tag_concurrency_limits": [{"key": "dagster/backfill", "limit": 2}]}},
}

pytestmark = pytest.mark.servers


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance whose daemon has just given a sign of life."""
    with dg.instance_for_test(overrides=LIMITED) as made:
        alive(made, time.time())
        yield made


def alive(instance: dg.DagsterInstance, at: float) -> None:
    for kind in ("BACKFILL", "QUEUED_RUN_COORDINATOR"):
        instance.add_daemon_heartbeat(DaemonHeartbeat(at, kind, "daemon", []))


def at_work(instance: dg.DagsterInstance, backfill: str, day: str) -> str:
    job = definitions.resolve_job_def("settle_day")
    tags = {"dagster/backfill": backfill, "dagster/partition": day}
    return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id


def silence(settings: Settings, run_id: str, seconds: int) -> None:
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE engagement_platform.run_beat SET beat_at = now() - make_interval(secs => %s) WHERE run_id = %s",
            [seconds, run_id],
        )


def test_runs_of_other_backfills_that_go_first_are_named(instance: dg.DagsterInstance, platform: Settings) -> None:
    first = at_work(instance, "theirs", "2026-03-01")
    assert obstacles(instance, platform, "mine") == []
    second = at_work(instance, "theirs", "2026-03-02")
    (said,) = obstacles(instance, platform, "mine")
    assert f"run {first} of backfill theirs (2026-03-01), run {second}" in said
    assert obstacles(instance, platform, "theirs") == []


def test_a_run_without_a_sign_of_life_is_named(instance: dg.DagsterInstance, platform: Settings) -> None:
    run_id = at_work(instance, "mine", "2026-03-01")
    with RunBeats.opened(platform, "test") as beats:
        beats.beat(run_id, "settle_day", "2026-03-01")
    assert obstacles(instance, platform, "mine") == []
    silence(platform, run_id, 75)
    (said,) = obstacles(instance, platform, "mine")
    assert f"Run {run_id} (2026-03-01) has given no sign of life for 75 s" in said


def test_a_daemon_that_is_away_is_named(instance: dg.DagsterInstance, platform: Settings) -> None:
    alive(instance, time.time() - 300)
    (said,) = obstacles(instance, platform, "mine")
    assert "dagster-daemon run" in said
