"""What Dagster loads: nothing is forgotten, and nothing heavy comes with it."""

import importlib
import inspect
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.load_target import WorkspaceFileTarget

from engagement_platform import orchestration
from engagement_platform.definitions import definitions, shared
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.assets import source_key
from engagement_platform.orchestration.location import definitions_of
from engagement_platform.orchestration.private import AssetJob
from engagement_platform.orchestration.stream_job import PRELOADED
from engagement_platform.orchestration.warehouse.schedules import QUEUE, queued
from engagement_platform.stream.registry import LOOPS, NAMES
from engagement_platform_tests.streams import PACKAGED, write_folder

ROOT = Path(__file__).parents[2]
HEAVY = ("google.cloud", "dagster_gcp", "pandas", "deltalake", "pyarrow", "duckdb", "sqlglot", "adbc_driver_postgresql")
DEFINED: tuple[Any, ...] = (
    dg.AssetSpec,
    dg.AssetsDefinition,
    dg.JobDefinition,
    dg.SensorDefinition,
    dg.ScheduleDefinition,
)


def defined() -> Iterator[tuple[str, object]]:
    """Everything of Dagster's that stands in a module of the package, with its module."""
    for module in modules():
        for value in vars(module).values():
            if isinstance(value, DEFINED):
                yield module.__name__, value


def factories() -> Iterator[Callable[[EventStream], object]]:
    """The functions that make something of Dagster's for a stream."""
    for module in modules():
        for name, value in vars(module).items():
            if name.endswith("_of") and callable(value) and value.__module__ == module.__name__:
                hints = inspect.signature(value).parameters
                if [hint.annotation for hint in hints.values()][:1] == [EventStream]:
                    yield value


def modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(orchestration.__path__, f"{orchestration.__name__}."):
        yield importlib.import_module(module.name)


def names(value: object) -> set[str]:
    """Return the name of a definition, or of each of some; none of what is none."""
    if isinstance(value, dg.AssetsDefinition):
        return {str(key) for key in (*value.keys, *value.check_keys)}
    if isinstance(value, dg.AssetSpec):
        return {str(value.key)}
    if isinstance(value, (*DEFINED, AssetJob)):
        return {str(value.name)}  # type: ignore[attr-defined]
    return set().union(*map(names, value)) if isinstance(value, list | Iterator) else set()


def registered() -> list[object]:
    lists = (definitions.assets, definitions.jobs, definitions.sensors, definitions.schedules, definitions.asset_checks)
    return [each for some in lists for each in some or ()]


def test_everything_that_is_defined_is_registered() -> None:
    known = {id(each) for each in registered()}
    assert not [value for _, value in defined() if id(value) not in known]


def test_everything_that_is_made_for_a_stream_is_registered() -> None:
    made = {factory: names(factory(PACKAGED)) for factory in factories()}
    known = names(registered())
    assert len([some for some in made.values() if some]) > 10
    assert not {factory.__name__: some - known for factory, some in made.items() if some - known}


def test_the_definitions_can_be_loaded() -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_assets_have_a_lineage_and_only_those_with_days_a_button() -> None:
    graph = definitions.resolve_asset_graph()
    views, topic = dg.AssetKey(["redis", "engagement_views"]), dg.AssetKey(["kafka", "engagement_events_topic"])
    events, content = source_key("engagement_events"), source_key("content")
    assert graph.get(views).parent_keys == {topic}
    assert graph.get(topic).parent_keys == {events, content}
    for read in (["warehouse", "staged_batches"], ["partner", "api"]):
        assert graph.get(dg.AssetKey(read)).parent_keys == {topic}
    assert all(graph.get(key).is_partitioned for key in graph.executable_asset_keys)
    assert all(graph.get(key).description for key in graph.get_all_asset_keys())


def test_the_ops_are_the_loops_of_the_lease() -> None:
    assert {node.name for node in definitions.resolve_job_def("engagement_stream").nodes} == set(NAMES)


def test_heavy_modules_stay_out_and_no_environment_is_needed() -> None:
    program = f"import sys, {', '.join(PRELOADED)}; print([name for name in {HEAVY} if name in sys.modules])"
    assert "engagement_platform.definitions" in PRELOADED
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_dagster_loads_takes_no_client_of_a_loop() -> None:
    program = "import sys, engagement_platform.definitions as _; print({'kafka', 'redis', 'requests'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert {loop.module for loop in LOOPS} < {*PRELOADED}  # before an op is forked


def test_without_the_packaged_stream_dagster_has_but_what_is_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_PACKAGED_STREAM", "off")
    monkeypatch.setenv("ENGAGEMENT_STREAMS", str(write_folder(tmp_path / "orders", "orders")))
    loaded = runpy.run_module("engagement_platform.definitions")["definitions"]
    dg.Definitions.validate_loadable(loaded)
    repository = loaded.get_repository_def()
    assert "orders_stream" in repository.job_names
    assert "engagement_stream" not in repository.job_names
    keys = {key.to_user_string() for key in loaded.resolve_asset_graph().get_all_asset_keys()}
    assert not {key for key in keys if "engagement_events" in key or "content" in key}


def test_the_definitions_of_three_streams_cost_little_beside_dagster(tmp_path: Path) -> None:
    """The first of four tries that is quick enough will do: others may use the processor, too."""
    folders = [str(write_folder(tmp_path / name, name)) for name in ("orders", "pings")]
    environment = os.environ | {"ENGAGEMENT_STREAMS": os.pathsep.join(folders)}
    program = (
        "import time, dagster; dagsters = time.process_time(); import engagement_platform.definitions;"
        "print((time.process_time() - dagsters) / dagsters)"
    )

    def share() -> float:
        command = [sys.executable, "-c", program]
        return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    shares = (share() for _ in range(4))
    assert any(share < 1.0 for share in shares)


def test_the_instance_can_be_made_from_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration is valid, stores in PostgreSQL and starts no helper for the output of ops."""
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/unused")
    reference = InstanceRef.from_dir(str(ROOT))
    assert reference.compute_logs_data.class_name == "NoOpComputeLogManager"
    assert reference.storage_data is not None
    assert reference.storage_data.class_name == "PlatformStorage"
    assert reference.settings["telemetry"] == {"enabled": False}
    runs: Any = reference.settings["concurrency"]
    limits = {limit["key"]: limit for limit in runs["runs"]["tag_concurrency_limits"]}
    assert limits[QUEUE]["value"] == {"applyLimitPerUniqueValue": True}, "one stream's days wait for no other's"
    assert queued("engagement") == {QUEUE: "days"}
    assert queued("orders") == {QUEUE: "orders_days"}
    assert queued("days") != queued("engagement")


def test_there_are_workers_for_the_sensors_of_five_streams() -> None:
    """Those of a stream whose servers do not answer hang: there are workers left for the others'."""
    own = len(list(definitions_of(PACKAGED).sensors or ()))
    for_all = len(list(shared([PACKAGED]).sensors or ())) + 1  # and report_lineage, where OPENLINEAGE_URL is set
    workers = yaml.safe_load((ROOT / "dagster.yaml").read_text())["sensors"]["num_workers"]
    assert workers >= 5 * own + for_all


def test_the_workspace_names_the_definitions() -> None:
    origins = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    assert [origin.location_name for origin in origins] == ["engagement_platform"]
    assert [origin.loadable_target_origin.module_name for origin in origins] == ["engagement_platform.definitions"]
