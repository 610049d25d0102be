"""The job with stand-ins for its loops."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._config import process_config
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.executor.init import InitExecutorContext

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.domain.errors import SettingsError, StreamStopped
from engagement_platform.domain.leases import PATIENCE
from engagement_platform.domain.progress import EVENTS
from engagement_platform.orchestration.assets import streamed_key
from engagement_platform.orchestration.loop_op import RunLoop
from engagement_platform.orchestration.stream_job import executor, stream_job_of
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import PACKAGED

DRAIN = {"lease_seconds": 0}


class Loops:
    """Loops that note what they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def named(self, name: str) -> RunLoop:
        def run(settings: Settings, control: Control) -> None:
            control.claim()
            self.told.append((name, control.drain))
            control.progress.count(EVENTS, 5)
            control.progress.lag = 0
            control.progress.latency.add(0.012, 5)

        return run

    def job(self) -> dg.JobDefinition:
        return stream_job_of(PACKAGED, {name: self.named(name) for name in NAMES})


def test_a_drain_runs_one_loop_after_the_other_and_releases(platform: Settings) -> None:
    loops = Loops()
    result = loops.job().execute_in_process(run_config=DRAIN)
    assert result.success
    assert loops.told[0] == ("relay", True)
    assert sorted(loops.told[1:]) == [("forward", True), ("stage", True), ("tally", True)]
    leases = Leases(Session(platform, "test"))
    lease = leases.latest().lease
    leases.close()
    assert lease is not None
    assert lease.run_id == result.run_id
    assert lease.released_at is not None


def test_drains_may_follow_each_other(platform: Settings) -> None:
    assert platform.lease.seconds > 0
    for _ in range(2):
        assert Loops().job().execute_in_process(run_config=DRAIN).success


def test_a_drain_beside_a_stream_fails_and_says_why(platform: Settings) -> None:
    leases = Leases(Session(platform, "test"))
    leases.claim("streaming", leases.register("streaming", "relay"), 600, ["relay"])
    loops = Loops()
    result = loops.job().execute_in_process(run_config=DRAIN, raise_on_error=False)
    leases.close()
    assert not result.success
    assert not loops.told
    assert "Run streaming streams already" in str(result.failure_data_for_node("relay"))


@pytest.mark.usefixtures("platform")
def test_the_config_wins_over_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", "0")
    loops = Loops()
    assert loops.job().execute_in_process().success
    assert loops.told[0] == ("relay", True)
    assert sorted(loops.told[1:]) == [("forward", True), ("stage", True), ("tally", True)]
    loops = Loops()
    assert loops.job().execute_in_process(run_config={"lease_seconds": 30}).success
    assert sorted(loops.told) == [(name, False) for name in sorted(NAMES)]


@pytest.mark.usefixtures("platform")
def test_the_ops_materialize_what_they_keep_up_to_date() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        Loops().job().execute_in_process(run_config=DRAIN, instance=instance)
        for loop in NAMES:
            event = instance.get_latest_materialization_event(streamed_key(PACKAGED, loop))
            assert event is not None
            assert event.asset_materialization is not None
            figures = {name: value.value for name, value in event.asset_materialization.metadata.items()}
            assert figures["events"] == 5
            assert figures["lag"] == 0
            assert figures["p99 ms"] == pytest.approx(12, rel=0.05)


@pytest.mark.usefixtures("platform")
def test_what_a_person_must_put_right_is_not_tried_again() -> None:
    tries = []

    def stops(settings: Settings, control: Control) -> None:
        control.claim()
        tries.append(1)
        raise StreamStopped("The source went back in time.", "Run this command.")

    job = stream_job_of(PACKAGED, {name: Loops().named(name) for name in NAMES} | {"relay": stops})
    result = job.execute_in_process(run_config=DRAIN, raise_on_error=False)
    assert not result.success
    assert len(tries) == 1
    failure = result.failure_data_for_node("relay")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == "The source went back in time. Run this command."


@pytest.mark.usefixtures("platform")
def test_anything_else_is_tried_again_at_once() -> None:
    tries = []

    def fails_twice(settings: Settings, control: Control) -> None:
        control.claim()
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError

    job = stream_job_of(PACKAGED, {name: Loops().named(name) for name in NAMES} | {"relay": fails_twice})
    result = job.execute_in_process(run_config=DRAIN)
    assert result.success
    assert len(tries) == 3


def test_the_loops_are_processes_of_the_run_unless_they_are_to_be_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Loops().job().executor_def.name == "side_by_side"
    monkeypatch.setenv("ENGAGEMENT_STREAM_EXECUTOR", "pods")
    in_pods = Loops().job().executor_def
    assert in_pods.name == "in_pods"
    config = process_config(in_pods.config_schema.config_type, {"step_k8s_config": {}})
    assert config.success, config.errors


def test_pods_are_looked_at_before_their_run_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kubernetes.config.load_kube_config", lambda _: None)
    monkeypatch.setenv("ENGAGEMENT_STREAM_EXECUTOR", "pods")
    with dg.DagsterInstance.ephemeral() as instance:
        job = Loops().job()
        context = InitExecutorContext(
            job=InMemoryJob(job),
            executor_def=job.executor_def,
            executor_config={
                "retries": {"enabled": {}},
                "load_incluster_config": False,
                "kubeconfig_file": "x",
                "step_dependency_config": {"require_upstream_step_success": False},
            },
            instance=instance,
        )
        made: Any = job.executor_def.executor_creation_fn(context)  # type: ignore[misc]
    assert made._check_step_health_interval_seconds < PATIENCE.total_seconds() / 2
    assert not made.step_dependency_config.require_upstream_step_success


def test_an_executor_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_STREAM_EXECUTOR", "threads")
    with pytest.raises(SettingsError, match="ENGAGEMENT_STREAM_EXECUTOR must be processes or pods, and is 'threads'"):
        executor()
