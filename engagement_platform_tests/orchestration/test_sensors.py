"""The sensor: it reads, asks the rules, and acts. The rules themselves are tested in domain/test_leases.py."""

from datetime import timedelta

import dagster as dg
import psycopg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.definitions import definitions
from engagement_platform.orchestration.sensors import CODE_SERVER, LAUNCHED_AT, LAUNCHED_BY
from engagement_platform.settings import Settings

keep_engagement_stream_alive = definitions.resolve_sensor_def("keep_engagement_stream_alive")
engagement_stream = definitions.resolve_job_def("engagement_stream")

LOOPS = ("relay", "tally")
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository").get_job_origin("engagement_stream")
"""Without it Dagster queues no run."""


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    result = keep_engagement_stream_alive(
        dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def())
    )
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def stream(leases: Leases, run_id: str, seconds: float = 600) -> None:
    for loop in LOOPS:
        awaits = leases.register(run_id, loop)
    leases.claim(run_id, awaits, seconds, LOOPS)


def reason(result: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(result, dg.SkipReason)
    return result.skip_message or ""


@pytest.mark.usefixtures("leases")
def test_it_launches_the_first_run_before_all_others(instance: dg.DagsterInstance) -> None:
    request = tick(instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/priority"] == "10"
    assert (request.run_key or "").startswith("epoch 1 at ")


def test_one_run_waits_beside_the_one_that_streams_and_no_more(instance: dg.DagsterInstance, leases: Leases) -> None:
    stream(leases, "a")
    assert isinstance(tick(instance), dg.RunRequest)
    leases.register("b", "relay")
    assert "Run b waits to take epoch 2." in reason(tick(instance))


@pytest.fixture
def short_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_LEAD_SECONDS", "60")


@pytest.mark.usefixtures("short_lead")
def test_it_leaves_a_live_stream_alone(instance: dg.DagsterInstance, leases: Leases) -> None:
    stream(leases, "a")
    assert "Run a streams, epoch 1" in reason(tick(instance))


@pytest.mark.usefixtures("short_lead")
def test_it_launches_a_successor_in_time(instance: dg.DagsterInstance, leases: Leases) -> None:
    stream(leases, "a", 59)
    request = tick(instance)
    assert isinstance(request, dg.RunRequest)
    assert (request.run_key or "").startswith("epoch 2 at ")


def test_no_key_is_used_twice(instance: dg.DagsterInstance, leases: Leases) -> None:
    assert leases.snapshot().lease is None
    first, second = tick(instance), tick(instance)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key != second.run_key


def launched(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, at: str | None = None, by: str | None = CODE_SERVER
) -> str:
    tags = {name: value for name, value in ((LAUNCHED_AT, at), (LAUNCHED_BY, by)) if value}
    run = instance.create_run_for_job(engagement_stream, tags=tags, status=status, remote_job_origin=ORIGIN)
    return run.run_id


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_young_run_is_waited_for_and_a_zombie_is_not(
    instance: dg.DagsterInstance, leases: Leases, status: dg.DagsterRunStatus
) -> None:
    now = leases.snapshot().now
    launched(instance, status, now.replace(year=now.year - 1).isoformat())
    assert isinstance(tick(instance), dg.RunRequest)
    young = launched(instance, status, now.isoformat())
    assert f"Run {young} starts up" in reason(tick(instance))


def test_a_run_that_boots_for_minutes_is_not_taken_for_dead(instance: dg.DagsterInstance, leases: Leases) -> None:
    launched(instance, dg.DagsterRunStatus.STARTING, (leases.snapshot().now - timedelta(seconds=100)).isoformat())
    assert "starts up" in reason(tick(instance))


@pytest.mark.usefixtures("leases")
def test_a_request_names_the_code_server(instance: dg.DagsterInstance) -> None:
    request = tick(instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags[LAUNCHED_BY] == CODE_SERVER


def test_runs_that_a_dead_dagster_left_in_the_queue_are_cancelled(leases: Leases) -> None:
    now = leases.snapshot().now.isoformat()
    queued = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    with dg.DagsterInstance.local_temp(overrides={"run_coordinator": queued}) as instance:
        left = [launched(instance, dg.DagsterRunStatus.NOT_STARTED, now, "gone") for _ in range(3)]
        by_hand = launched(instance, dg.DagsterRunStatus.NOT_STARTED, "2020-01-01T00:00:00+00:00", None)
        for run_id in (*left, by_hand):
            enqueued = dg.DagsterEvent(dg.DagsterEventType.PIPELINE_ENQUEUED.value, "engagement_stream")
            instance.report_dagster_event(enqueued, run_id)
        assert isinstance(tick(instance), dg.RunRequest)
        states = {run.run_id: run.status for run in instance.get_runs()}
    assert [states[run_id] for run_id in left] == [dg.DagsterRunStatus.CANCELED] * 3
    assert states[by_hand] is dg.DagsterRunStatus.QUEUED


@pytest.mark.usefixtures("leases")
def test_a_run_that_was_launched_by_hand_counts_too(instance: dg.DagsterInstance) -> None:
    launched(instance, dg.DagsterRunStatus.STARTING, by=None)
    assert "starts up" in reason(tick(instance))


def test_runs_of_other_jobs_do_not_count(instance: dg.DagsterInstance, leases: Leases) -> None:
    assert leases.snapshot().lease is None
    job = definitions.resolve_job_def("prune_engagement_stream_runs")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(instance), dg.RunRequest)


def test_it_migrates_an_empty_database(instance: dg.DagsterInstance, platform: Settings) -> None:
    with psycopg.connect(platform.platform.dsn.get_secret_value()) as connection:
        connection.execute("DROP SCHEMA engagement_platform CASCADE")
    assert isinstance(tick(instance), dg.RunRequest)


def test_a_database_that_cannot_be_read_is_not_an_absent_lease(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://unused/unused")
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody:secret@127.0.0.1:1/nothing")
    said = reason(tick(instance))
    assert "platform database does not answer" in said
    assert "secret" not in said


def test_missing_settings_are_named(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGAGEMENT_SOURCE_DSN", raising=False)
    monkeypatch.delenv("ENGAGEMENT_PLATFORM_DSN", raising=False)
    assert "ENGAGEMENT_PLATFORM_DSN: it is not set" in reason(tick(instance))


@pytest.mark.usefixtures("leases")
def test_drains_are_not_launched_one_after_the_other(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", "0")
    assert "ENGAGEMENT_LEASE_SECONDS is 0" in reason(tick(instance))
