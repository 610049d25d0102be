"""Old runs of the stream are deleted, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.definitions import definitions
from engagement_platform.orchestration import retention
from engagement_platform.orchestration.retention import delete_ended_runs, fail_dead_runs, prune_engagement_stream_runs
from engagement_platform.orchestration.runs import UNFINISHED
from engagement_platform.orchestration.stream_job import job_name
from engagement_platform.settings import Settings
from engagement_platform_tests.streams import PACKAGED

NAME = job_name(PACKAGED.name)
engagement_stream = definitions.resolve_job_def(NAME)

SOON = datetime.now(UTC) + timedelta(days=1)


def test_only_ended_runs_of_the_stream_are_deleted() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ended = [
            instance.create_run_for_job(engagement_stream, status=status).run_id
            for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
        ]
        streaming = instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.STARTED).run_id
        other = instance.create_run_for_job(prune_engagement_stream_runs, status=dg.DagsterRunStatus.SUCCESS).run_id
        assert delete_ended_runs(instance, NAME, SOON) == 3
        assert {run.run_id for run in instance.get_runs()} == {streaming, other}
        assert not any(instance.has_run(run_id) for run_id in ended)


def test_young_runs_stay() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.SUCCESS)
        assert delete_ended_runs(instance, NAME, datetime.now(UTC) - timedelta(hours=1)) == 0


@pytest.fixture
def leases(platform: Settings) -> Iterator[Leases]:
    found = Leases(Session(platform, "test"))
    yield found
    found.close()


def hold(leases: Leases, run_id: str) -> None:
    leases.claim(run_id, leases.register(run_id, "relay"), 600, ["relay"])


def silence(platform: Settings, run_id: str) -> None:
    """Let the run's loops have beaten an hour ago."""
    with psycopg.connect(platform.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE engagement_platform.stream_loop SET heartbeat_at = now() - interval '1 hour' WHERE run_id = %s",
            [run_id],
        )


@pytest.fixture
def old_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of these tests are old at once."""
    monkeypatch.setattr(retention, "BEGUN_WITHIN", -timedelta(days=1))


def unfinished(instance: dg.DagsterInstance) -> dict[str, dg.DagsterRun]:
    """A run in each state in which a kill can leave it; one that is queued needs a code location."""
    states = [status for status in UNFINISHED if status is not dg.DagsterRunStatus.QUEUED]
    return {status.value: instance.create_run_for_job(engagement_stream, status=status) for status in states}


@pytest.mark.usefixtures("old_runs")
def test_a_killed_run_is_reported_as_failed_in_whatever_state_it_stayed(leases: Leases) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        killed = unfinished(instance)
        assert {"STARTED", "STARTING", "CANCELING", "NOT_STARTED"} <= set(killed)
        other = instance.create_run_for_job(prune_engagement_stream_runs, status=dg.DagsterRunStatus.STARTED)
        assert fail_dead_runs(instance, leases, NAME, SOON) == len(killed)
        assert {run.status for run in instance.get_runs() if run.job_name == "engagement_stream"} == {
            dg.DagsterRunStatus.FAILURE
        }
        assert delete_ended_runs(instance, NAME, SOON) == len(killed)
        assert [run.run_id for run in instance.get_runs()] == [other.run_id]


@pytest.mark.usefixtures("old_runs")
def test_a_run_that_held_the_lease_once_and_is_silent_was_killed(leases: Leases, platform: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        killed, streams = (
            instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(2)
        )
        hold(leases, killed)
        silence(platform, killed)
        hold(leases, streams)
        assert fail_dead_runs(instance, leases, NAME, SOON) == 1
        assert delete_ended_runs(instance, NAME, SOON) == 1
        assert [run.run_id for run in instance.get_runs()] == [streams]


@pytest.mark.usefixtures("old_runs")
def test_a_run_that_holds_the_lease_or_beats_stays(leases: Leases, platform: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        holds, waits = (
            instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(2)
        )
        hold(leases, holds)
        silence(platform, holds)  # the database may have been away: it is the holder until another one claims
        leases.register(waits, "tally")
        assert fail_dead_runs(instance, leases, NAME, SOON) == 0
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.STARTED}


def test_a_run_that_may_still_be_starting_stays(leases: Leases) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        unfinished(instance)
        assert fail_dead_runs(instance, leases, NAME, SOON) == 0


@pytest.mark.usefixtures("old_runs")
def test_a_run_younger_than_the_retention_stays(leases: Leases) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        unfinished(instance)
        assert fail_dead_runs(instance, leases, NAME, datetime.now(UTC) - timedelta(hours=1)) == 0


@pytest.mark.usefixtures("platform", "old_runs")
def test_the_job_deletes_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_RETAIN_RUNS_HOURS", "0.0000001")
    with dg.DagsterInstance.ephemeral() as instance:
        old = instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.SUCCESS).run_id
        killed = instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.STARTED).run_id
        assert prune_engagement_stream_runs.execute_in_process(instance=instance).success
        assert not instance.has_run(old)
        assert not instance.has_run(killed)
