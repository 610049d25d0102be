"""Two streams in one location, over a real database: what concerns one of them leaves the other alone."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.adapters.streams import stream_named
from engagement_platform.definitions import definitions
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.progress import EVENTS
from engagement_platform.orchestration.assets import streamed_key
from engagement_platform.orchestration.location import definitions_of
from engagement_platform.orchestration.retention import keep_warehouse_small, prune_engagement_stream_runs
from engagement_platform.orchestration.stream_job import stream_job_of
from engagement_platform.orchestration.warehouse.checks import days_known_of
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.settings import Settings, load
from engagement_platform.stream.control import Control
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.streams import PACKAGED, write_folder

pytestmark = pytest.mark.servers


@pytest.fixture
def orders(platform: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventStream:
    """A stream beside the packaged one, with its schema."""
    assert platform.stream == PACKAGED.name
    monkeypatch.setenv("ENGAGEMENT_STREAMS", str(write_folder(tmp_path / "orders", "orders")))
    ensure_schema(load("orders"))
    return stream_named("orders")


def look(
    stream: EventStream, name: str, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.RunRequest | list[dg.RunRequest] | dg.SkipReason:
    loaded = definitions_of(stream)
    context = dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def(), cursor=cursor)
    result = loaded.resolve_sensor_def(name)(context)
    assert isinstance(result, dg.RunRequest | list | dg.SkipReason)
    return result


def lives(settings: Settings, run_id: str) -> None:
    """Let a run stream, and one wait behind it."""
    with Leases.opened(settings, "test") as leases:
        for loop in NAMES:
            awaits = leases.register(run_id, loop)
        leases.claim(run_id, awaits, 600, NAMES)
        for loop in NAMES:
            leases.register(f"{run_id} next", loop)


def test_each_sensor_keeps_its_own_stream_alive(
    orders: EventStream, platform: Settings, instance: dg.DagsterInstance
) -> None:
    lives(platform, "first")
    assert isinstance(look(PACKAGED, "keep_engagement_stream_alive", instance), dg.SkipReason)
    launched = look(orders, "keep_orders_stream_alive", instance)
    assert isinstance(launched, dg.RunRequest)
    assert (launched.run_key or "").startswith("epoch 1 at ")
    assert launched.tags["dagster/priority"] == "10"
    lives(load("orders"), "second")
    assert isinstance(look(orders, "keep_orders_stream_alive", instance), dg.SkipReason)


def test_the_ops_load_the_settings_of_their_stream_and_report_its_assets(
    orders: EventStream, platform: Settings, instance: dg.DagsterInstance
) -> None:
    ran: dict[str, Settings] = {}

    def named(name: str) -> object:
        def run(settings: Settings, control: Control) -> None:
            control.claim()
            ran[name] = settings
            control.progress.count(EVENTS, 5)

        return run

    job = stream_job_of(orders, {name: named(name) for name in NAMES})  # type: ignore[misc]
    result = job.execute_in_process(run_config={"lease_seconds": 0}, instance=instance)
    assert result.success
    assert {settings.stream for settings in ran.values()} == {"orders"}
    assert ran.keys() == set(NAMES)
    for loop in NAMES:
        assert instance.get_latest_materialization_event(streamed_key(orders, loop)) is not None
        assert instance.get_latest_materialization_event(streamed_key(PACKAGED, loop)) is None
    with Leases.opened(platform, "test") as leases:
        assert leases.latest().lease is None
    with Leases.opened(load("orders"), "test") as leases:
        lease = leases.latest().lease
    assert lease is not None
    assert lease.run_id == result.run_id


@pytest.mark.usefixtures("platform")
def test_a_remedy_names_the_stream_wherever_it_is_shown(
    orders: EventStream, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    def stops(settings: Settings, control: Control) -> None:
        control.claim()
        raise StreamStopped("The source went back in time.", "Run: engagement-platform checkpoint adopt")

    job = stream_job_of(orders, dict.fromkeys(NAMES, stops))
    result = job.execute_in_process(run_config={"lease_seconds": 0}, instance=instance, raise_on_error=False)
    failure = result.failure_data_for_node("relay")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "checkpoint adopt --stream orders" in str(failure.user_failure_data.description)


def test_days_that_are_due_are_asked_for_by_their_stream_in_its_queue(
    orders: EventStream, instance: dg.DagsterInstance
) -> None:
    today = datetime.now(UTC).date()
    with DueDays.opened(load("orders"), "test") as due_days:
        due_days.note("delta:1", [today], "expired")
    assert isinstance(look(PACKAGED, "rebuild_days_that_are_due", instance), dg.SkipReason)
    asked = look(orders, "orders_rebuild_days_that_are_due", instance)
    assert isinstance(asked, list)
    assert [(request.partition_key, request.tags["engagement/queue"]) for request in asked] == [
        (str(today), "orders_days")
    ]


def test_days_that_a_stream_has_filled_are_reported_for_its_table(
    orders: EventStream, instance: dg.DagsterInstance
) -> None:
    today = datetime.now(UTC).date()
    with Loads.opened(load("orders"), "test") as loads:
        row = LoadRow("delta:1", "stage", 1, "load", "topic", {}, {}, (today,), rows=3, rejected=0)
        with loads.admission("delta:1", ()) as admission:
            assert admission.open(row)
        loads.close_load(row)

    def told(stream: EventStream, name: str) -> str:
        result = look(stream, name, instance)
        assert isinstance(result, dg.SkipReason)
        return result.skip_message or ""

    wait_for(lambda: str(today) in told(orders, "orders_report_staged_days"), "the report of today", 10)
    assert "nothing new" in told(PACKAGED, "report_staged_days")
    assert instance.get_materialized_partitions(events_key(orders)) == {str(today)}
    assert instance.get_materialized_partitions(events_key(PACKAGED)) == set()


def test_old_runs_of_all_streams_are_deleted_also_where_the_settings_of_one_are_at_fault(
    orders: EventStream, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(stream: EventStream) -> str:
        return instance.create_run_for_job(stream_job_of(stream), status=dg.DagsterRunStatus.SUCCESS).run_id

    monkeypatch.setenv("ENGAGEMENT_RETAIN_RUNS_HOURS", "0.0000001")
    runs = [ended(PACKAGED), ended(orders)]
    assert prune_engagement_stream_runs.execute_in_process(instance=instance).success
    assert not any(map(instance.has_run, runs))

    first, second = ended(PACKAGED), ended(orders)
    monkeypatch.setenv("ENGAGEMENT_ORDERS__REDIS_URL", "nonsense")
    skipped = look(orders, "keep_orders_stream_alive", instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "ENGAGEMENT_ORDERS__REDIS_URL" in str(skipped.skip_message)
    assert isinstance(look(PACKAGED, "keep_engagement_stream_alive", instance), dg.RunRequest)
    pruned = prune_engagement_stream_runs.execute_in_process(instance=instance, raise_on_error=False)
    assert not pruned.success
    assert "orders: " in str(pruned.failure_data_for_node("delete_old_stream_runs"))
    assert not instance.has_run(first)
    assert instance.has_run(second)


def test_a_drain_that_is_set_for_a_stream_is_named_by_its_variable(
    orders: EventStream, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_ORDERS__LEASE_SECONDS", "0")
    skipped = look(orders, "keep_orders_stream_alive", instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "ENGAGEMENT_ORDERS__LEASE_SECONDS is 0" in str(skipped.skip_message)
    (spec,) = days_known_of(orders).check_specs
    assert "(ENGAGEMENT_ORDERS__FIRST_DAY)" in str(spec.description)


def test_a_variable_of_no_stream_is_said_at_the_start(
    orders: EventStream, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(settings: Settings, control: Control) -> None:
        control.claim()

    monkeypatch.setenv("ENGAGEMENT_REFUNDS__TOPIC", "refunds")
    job = stream_job_of(orders, dict.fromkeys(NAMES, ends))
    assert job.execute_in_process(run_config={"lease_seconds": 0}, instance=instance).success
    assert caplog.text.count("ENGAGEMENT_REFUNDS__TOPIC is of the stream refunds, which is not there") == 1


@pytest.mark.usefixtures("orders")
def test_a_warehouse_that_could_not_be_tended_is_tended_in_the_turn_of_the_next_stream(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []

    class Warehouse:
        def __init__(self, settings: Settings) -> None:
            self.stream = settings.stream

        def upkeep(self) -> dict[str, int]:
            turns.append(self.stream)
            if len(turns) == 1:
                raise Unavailable("The warehouse does not answer.")
            return {}

    import_module("engagement_platform.history.erasure")  # the job does, and what it imports would keep the stand-in
    monkeypatch.setattr("engagement_platform.adapters.warehouse.connect.open_warehouse", Warehouse)
    assert not keep_warehouse_small.execute_in_process(instance=instance, raise_on_error=False).success
    assert turns == ["engagement", "orders"]
    assert keep_warehouse_small.execute_in_process(instance=instance).success
    assert turns[2:] == ["engagement"], "both are in one warehouse"


def test_a_first_day_of_its_own_is_the_first_partition(orders: EventStream, monkeypatch: pytest.MonkeyPatch) -> None:
    first = datetime.now(UTC).date() - timedelta(days=3)
    monkeypatch.setenv("ENGAGEMENT_ORDERS__FIRST_DAY", str(first))
    events = definitions_of(orders).resolve_asset_graph().get(events_key(orders))
    assert events.partitions_def is not None
    assert events.partitions_def.get_first_partition_key() == str(first)
