"""Pauses, seen in the runs of the job."""

from collections.abc import Mapping

import dagster as dg
import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.orchestration.assets import streamed_key
from engagement_platform.orchestration.loop_op import RunLoop
from engagement_platform.orchestration.stream_job import stream_job_of
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import PACKAGED

PARTNER_API, REDIS_VIEWS = streamed_key(PACKAGED, "forward"), streamed_key(PACKAGED, "tally")


def test_a_drain_leaves_out_what_is_paused_says_so_and_releases(
    platform: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def named(name: str) -> RunLoop:
        def run(settings: Settings, control: Control) -> None:
            control.claim()
            control.progress.streams()
            ran.append(name)

        return run

    with Pauses.opened(platform, "test") as pauses:
        pauses.pause("forward", "me@here", "maintenance")
    with dg.DagsterInstance.ephemeral() as instance:
        result = stream_job_of(PACKAGED, {name: named(name) for name in NAMES}).execute_in_process(
            run_config={"lease_seconds": 0}, instance=instance
        )
        assert result.success
        assert sorted(ran) == ["relay", "stage", "tally"]
        assert instance.get_latest_materialization_event(PARTNER_API) is None
        (told,) = instance.fetch_observations(PARTNER_API, limit=5).records
        assert told.asset_observation is not None
        assert "paused" in str(told.asset_observation.metadata["state"].value)
        assert "paused" not in str(metadata(instance, REDIS_VIEWS)["state"].value)
    assert "forward is paused since" in caplog.text
    assert "by me@here: maintenance. What is there stays there." in caplog.text
    with Leases.opened(platform, "test") as leases:
        lease = leases.latest().lease
    assert lease is not None
    assert lease.released_at is not None


def metadata(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Mapping[str, dg.MetadataValue]:
    event = instance.get_latest_materialization_event(asset)
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata
