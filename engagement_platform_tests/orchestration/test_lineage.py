"""What arrives at a catalog that speaks OpenLineage, over HTTP: of the streams, of runs, and after it was away."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import msgspec
import pytest

from engagement_platform.adapters.openlineage.client import Catalog, is_wanted
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.lineage import Stage, Streaming, id_of, steps
from engagement_platform.orchestration import lineage
from engagement_platform.orchestration.lineage import Memory, lineage_of_streams
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.orchestration.warehouse.marts import mart_key
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import PACKAGED

openlineage = pytest.importorskip("openlineage.client", reason="the extra `lineage` is not installed")

RUN = "b7a1c2c0-0000-4000-8000-000000000001"
SUCCESSOR = "b7a1c2c0-0000-4000-8000-000000000002"
DAY = "2026-03-01"


class Receiver:
    """A server that keeps what it is sent, and answers as it is told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.status = 201
        self.refused: set[str] = set()
        self.keys: set[str | None] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = 422 if json.loads(body)["run"]["runId"] in receiver.refused else receiver.status
                if status < 300:
                    assert self.path == "/api/v1/lineage"
                    receiver.keys.add(self.headers["Authorization"])
                    receiver.events.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def taken(self) -> list[dict[str, Any]]:
        taken, self.events = self.events, []
        return taken


@pytest.fixture
def receiver(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    assert platform
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OPENLINEAGE_URL", made.url)
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "s3cret")
    monkeypatch.setenv("ENGAGEMENT_OWNERS", "team:data")
    monkeypatch.setenv("ENGAGEMENT_API_URL", "https://partner.example/s3cret")
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Sensor:
    """The sensor, with the cursor of its last tick. It has told nothing of what was before the test."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._sensor = lineage_of_streams([PACKAGED], Catalog)
        self.cursor = msgspec.json.encode(Memory()).decode()

    def tick(self) -> str:
        result = self._sensor(dg.build_sensor_context(instance=self._instance, cursor=self.cursor))
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor or ""
        assert result.skip_reason is not None
        return str(result.skip_reason.skip_message)


def claim(leases: Leases, run: str) -> None:
    for loop in NAMES:
        awaits = leases.register(run, loop)
    leases.claim(run, awaits, 600, NAMES)


def test_each_loop_is_a_streaming_job_with_what_it_reads_and_fills(
    receiver: Receiver, instance: dg.DagsterInstance, leases: Leases
) -> None:
    sensor = Sensor(instance)
    sensor.tick()
    assert receiver.taken() == [], "nobody streams"
    claim(leases, RUN)
    sensor.tick()
    events = receiver.taken()
    assert [event["eventType"] for event in events] == ["START"] * len(NAMES)
    jobs = {event["job"]["name"].rpartition(".")[2]: event for event in events}
    assert set(jobs) == set(NAMES)
    for name, event in jobs.items():
        assert event["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
        assert event["job"]["facets"]["ownership"]["owners"] == [{"name": "team:data"}]
        assert event["run"]["runId"] == id_of(RUN, name)
        assert event["run"]["facets"]["parent"]["run"]["runId"] == RUN
    relay, forward = jobs["relay"], jobs["forward"]
    assert {dataset["namespace"].partition(":")[0] for dataset in relay["inputs"]} == {"postgres"}
    (topic,) = relay["outputs"]
    assert (topic["namespace"].partition(":")[0], topic["name"]) == ("kafka", "engagement-events")
    assert all((one["inputs"][0]["name"]) == "engagement-events" for name, one in jobs.items() if name != "relay")
    schema = {field["name"]: field["type"] for field in topic["facets"]["schema"]["fields"]}
    assert schema["duration_ms"] == "bigint"
    made_from = topic["facets"]["columnLineage"]["fields"]["engagement_pct"]["inputFields"]
    assert {one["field"] for one in made_from} == {"duration_ms", "length_seconds"}
    assert jobs["tally"]["outputs"][0]["namespace"].startswith("redis://")
    assert jobs["stage"]["outputs"][0]["name"].endswith("/engagement_events")
    assert (forward["outputs"][0]["namespace"], forward["outputs"][0]["name"]) == (
        "https://partner.example",
        "engagement_events",
    )
    assert "s3cret" not in json.dumps(events)
    assert receiver.keys == {"Bearer s3cret"}


def test_a_run_that_another_one_follows_is_complete_and_nothing_is_told_twice(
    receiver: Receiver, instance: dg.DagsterInstance, leases: Leases
) -> None:
    sensor = Sensor(instance)
    claim(leases, RUN)
    sensor.tick()
    receiver.taken()
    sensor.tick()
    assert receiver.taken() == []
    claim(leases, SUCCESSOR)
    sensor.tick()
    told = [(event["eventType"], event["run"]["facets"]["parent"]["run"]["runId"]) for event in receiver.taken()]
    assert told == [("COMPLETE", RUN)] * len(NAMES) + [("START", SUCCESSOR)] * len(NAMES)


def test_what_a_catalog_does_not_take_is_told_when_it_does(
    receiver: Receiver, instance: dg.DagsterInstance, leases: Leases
) -> None:
    sensor = Sensor(instance)
    claim(leases, RUN)
    receiver.status = 400
    assert "did not take an event" in sensor.tick()
    assert receiver.taken() == []
    receiver.status = 201
    sensor.tick()
    assert len(receiver.taken()) == len(NAMES)


def test_a_run_of_the_warehouse_tells_its_day_its_rows_and_what_it_read(
    receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    days = dg.DailyPartitionsDefinition(DAY)

    @dg.asset(key=events_key(PACKAGED), partitions_def=days)
    def events() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"dagster/row_count": 12})

    @dg.asset(key=mart_key("hourly_engagement"), deps=[events], partitions_def=days)
    def hourly(context: dg.AssetExecutionContext) -> None:
        if context.run.tags.get("fails"):
            raise dg.Failure("on purpose", allow_retries=False)

    dg.materialize([events, hourly], partition_key=DAY, instance=instance)
    sensor = Sensor(instance)
    sensor.tick()
    start, end = receiver.taken()
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert end["job"]["facets"]["jobType"]["processingType"] == "BATCH"
    assert end["run"]["facets"]["nominalTime"]["nominalStartTime"].startswith(DAY)
    outputs = {dataset["name"].rpartition("/")[2]: dataset for dataset in end["outputs"]}
    assert set(outputs) == {"engagement_events", "hourly_engagement"}
    assert outputs["engagement_events"]["outputFacets"]["outputStatistics"]["rowCount"] == 12
    mart = outputs["hourly_engagement"]["facets"]["columnLineage"]["fields"]["hour"]["inputFields"]
    assert [(one["name"].rpartition("/")[2], one["field"]) for one in mart] == [("engagement_events", "event_ts")]
    assert {dataset["namespace"].partition(":")[0] for dataset in end["inputs"]} == {"postgres"}
    sensor.tick()
    assert receiver.taken() == []

    dg.materialize([hourly], partition_key=DAY, instance=instance, tags={"fails": "1"}, raise_on_error=False)
    sensor.tick()
    failed = receiver.taken()[1]
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"]


def two_runs(instance: dg.DagsterInstance) -> tuple[str, str]:
    @dg.asset(key=mart_key("hourly_engagement"), partitions_def=dg.DailyPartitionsDefinition(DAY))
    def hourly() -> None: ...

    first, second = (dg.materialize([hourly], partition_key=DAY, instance=instance) for _ in range(2))
    return first.run_id, second.run_id


def test_a_run_that_the_catalog_refuses_for_good_holds_back_the_next_ones_for_some_ticks_only(
    receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    refused, taken = two_runs(instance)
    receiver.refused = {id_of(refused)}
    sensor = Sensor(instance)
    for _ in range(lineage._TRIES - 1):
        assert "did not take an event" in sensor.tick()
        assert receiver.taken() == []
    assert f"Run {refused} is left out" in sensor.tick()
    assert {event["run"]["runId"] for event in receiver.taken()} == {id_of(taken)}
    assert "left out" not in sensor.tick()


@pytest.mark.parametrize("status", [401, 503])
def test_while_a_catalog_takes_nothing_no_run_is_left_out(
    receiver: Receiver, instance: dg.DagsterInstance, status: int
) -> None:
    runs = two_runs(instance)
    receiver.status = status
    sensor = Sensor(instance)
    for _ in range(lineage._TRIES + 1):
        sensor.tick()
    receiver.status = 201
    sensor.tick()
    assert {event["run"]["runId"] for event in receiver.taken()} == {id_of(run) for run in runs}


def test_a_run_that_makes_no_table_is_not_told(receiver: Receiver, instance: dg.DagsterInstance) -> None:
    @dg.job
    def tidy() -> None: ...

    tidy.execute_in_process(instance=instance)
    Sensor(instance).tick()
    assert receiver.taken() == []


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"engagement-platform\[lineage\]"):
        Catalog()


def test_it_is_wanted_where_there_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    assert not is_wanted()
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:5000")
    assert is_wanted()


def test_a_stream_is_told_to_go_on_now_and_then_and_to_have_ended() -> None:
    told, memory = steps(Streaming(), RUN, 100.0, 101.0, 600.0)
    assert [(step.stage, step.run_id, step.at) for step in told] == [(Stage.START, RUN, 100.0)]
    assert steps(memory, RUN, 100.0, 500.0, 600.0) == ([], memory)
    told, later = steps(memory, RUN, 100.0, 800.0, 600.0)
    assert [(step.stage, step.at) for step in told] == [(Stage.RUNNING, 800.0)]
    told, ended = steps(later, "", 0.0, 900.0, 600.0)
    assert [(step.stage, step.run_id, step.at) for step in told] == [(Stage.COMPLETE, RUN, 900.0)]
    assert ended == Streaming()


def test_the_sensor_of_the_package_still_stops_at_an_event_without_a_run(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why there is one of our own (docs/decisions/0019): once this fails, look at that again."""
    package = pytest.importorskip("dagster_openlineage")
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    sensor = package.openlineage_sensor(include_asset_events=True)
    instance.report_runless_asset_event(dg.AssetMaterialization(events_key(PACKAGED), partition=DAY))
    context = dg.build_sensor_context(instance=instance)
    (skipped,) = list(sensor(context))
    assert "badly formed" in skipped.skip_message
    assert json.loads(str(context.cursor))["last_storage_id"] == 0, "and so at each tick"
