"""What Dagster has of each shard: a job and a sensor of its own."""

import dagster as dg
import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.domain.assignment import Assignment
from engagement_platform.orchestration.location import definitions_of
from engagement_platform.orchestration.sensors import keep_stream_alive_of
from engagement_platform.orchestration.stream_job import job_name, job_names, number_of_shards, stream_job_of
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import PACKAGED

LOOPS = [name for name in NAMES if name != "relay"]


@pytest.fixture
def three(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ENGAGEMENT_CONSUMER_SHARDS", "3")
    return platform


def tick(instance: dg.DagsterInstance, shard: int) -> dg.RunRequest | dg.SkipReason:
    repository = dg.Definitions(jobs=[stream_job_of(PACKAGED, shard=shard)]).get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    result = keep_stream_alive_of(PACKAGED, shard)(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def stream(settings: Settings, run_id: str, shard: int, assignment: Assignment) -> None:
    with Leases.opened(settings, "test", shard) as leases:
        for loop in LOOPS:
            awaits = leases.register(run_id, loop, shards=assignment.shards)
        leases.claim(run_id, awaits, 600, LOOPS, assignment=assignment)


@pytest.mark.usefixtures("three")
def test_each_shard_has_a_job_and_a_sensor_and_the_first_alone_the_relay() -> None:
    assert number_of_shards(PACKAGED.name) == 3
    whole = definitions_of(PACKAGED)
    jobs = {job.name: job for job in whole.jobs or () if isinstance(job, dg.JobDefinition)}
    names = [job_name(PACKAGED.name, shard) for shard in range(3)]
    ops = {name: [node.name for node in jobs[name].nodes] for name in names}
    assert {name: set(of) for name, of in ops.items()} == {
        "engagement_stream": set(NAMES),
        "engagement_stream_shard_1": set(LOOPS),
        "engagement_stream_shard_2": set(LOOPS),
    }
    assert ops.keys() < job_names(PACKAGED.name)
    sensors = {sensor.name for sensor in whole.sensors or ()}
    assert {f"keep_{name}_alive" for name in ops} < sensors
    dg.Definitions.merge(whole).get_repository_def()


def test_the_sensor_of_a_shard_replaces_that_shard_alone(three: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(instance, 1), dg.RunRequest)
        stream(three, "first", 0, Assignment(1, 3))
        stream(three, "second", 1, Assignment(1, 3))
        missing = tick(instance, 2)
        assert isinstance(missing, dg.RunRequest)
        assert missing.tags["engagement/reason"] == "Nothing has streamed yet."


def test_a_new_number_has_each_sensor_launch_a_run_while_the_old_ones_stream(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_LEAD_SECONDS", "0")
    stream(platform, "whole", 0, Assignment(0, 1))
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(instance, 0), dg.SkipReason)
        monkeypatch.setenv("ENGAGEMENT_CONSUMER_SHARDS", "2")
        for shard in (0, 1):
            request = tick(instance, shard)
            assert isinstance(request, dg.RunRequest)
        with Leases.opened(platform, "test") as leases:
            assert leases.assignment() == Assignment(1, 2)
            lease = leases.latest().lease
            assert lease is not None
            assert lease.run_id == "whole", "a number that was declared ends nobody who streams"


@pytest.mark.usefixtures("platform")
def test_a_run_of_a_shard_that_there_is_no_more_says_so() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = stream_job_of(PACKAGED, shard=2).execute_in_process(instance=instance, raise_on_error=False)
        failure = next(event for event in result.all_events if event.is_step_failure)
    assert "there is no shard 2" in str(failure.event_specific_data)
