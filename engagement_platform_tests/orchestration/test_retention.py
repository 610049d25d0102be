"""Old runs of the stream are deleted, and nothing else."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from engagement_platform.orchestration.retention import delete_ended_runs, prune_engagement_stream_runs
from engagement_platform.orchestration.stream_job import engagement_stream
from engagement_platform.settings import Settings

SOON = datetime.now(UTC) + timedelta(days=1)


def test_only_ended_runs_of_the_stream_are_deleted() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ended = [
            instance.create_run_for_job(engagement_stream, status=status).run_id
            for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
        ]
        streaming = instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.STARTED).run_id
        other = instance.create_run_for_job(prune_engagement_stream_runs, status=dg.DagsterRunStatus.SUCCESS).run_id
        assert delete_ended_runs(instance, SOON) == 3
        assert {run.run_id for run in instance.get_runs()} == {streaming, other}
        assert not any(instance.has_run(run_id) for run_id in ended)


def test_young_runs_stay() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.SUCCESS)
        assert delete_ended_runs(instance, datetime.now(UTC) - timedelta(hours=1)) == 0


@pytest.mark.usefixtures("platform")
def test_the_job_deletes_by_the_setting(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_RETAIN_RUNS_HOURS", "0.0000001")
    with dg.DagsterInstance.ephemeral() as instance:
        old = instance.create_run_for_job(engagement_stream, status=dg.DagsterRunStatus.SUCCESS).run_id
        assert prune_engagement_stream_runs.execute_in_process(instance=instance).success
        assert not instance.has_run(old)
