"""A stream that is broken stops itself and not the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster_shared.check import CheckError

from engagement_platform.definitions import shared
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.assets import source_key
from engagement_platform.orchestration.failures import for_each_stream
from engagement_platform.orchestration.location import broken_of, definitions_of, location, told_apart
from engagement_platform.settings import Settings
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, made, write_folder

UNREADABLE = SettingsError("orders/stream.toml is no TOML.", "Mend the line.")

LOADED = """
import json, dagster
from engagement_platform.definitions import definitions
dagster.Definitions.validate_loadable(definitions)
repository = definitions.get_repository_def()
context = dagster.build_sensor_context(instance=None, repository_def=repository)
told = {}
for sensor in repository.sensor_defs:
    if sensor.name.endswith("_stream_alive") and sensor.name != "keep_engagement_stream_alive":
        try:
            told[sensor.name] = str(sensor(context))
        except Exception as error:
            told[sensor.name] = f"fails: {error}"
print(json.dumps([sorted(repository.job_names), told]))
"""


BROKEN = {
    "no_toml": ("what = is this\n", "", "is no TOML"),
    "no_statement": ("", "enriched.sql", "enriched.sql"),
    "no_stream": ("", "stream.toml", "stream.toml"),
    "said_twice": ("views = 3\n", "", "Cannot overwrite"),
    "days": ('checks.joined.days = { column = "host", brings = "host" }\n', "", "days_known is another check already"),
    "known": ('checks.joined.values = { column = "host", brings = "host" }\n', "", "values_known is another check"),
    "unit": ('checks.unit = "rows"\n', "", "same_rows_as_source is another check already"),
    "no_mart": ('[marts.sums]\nmeaning = ""\ncolumns = {}\n', "", "marts.sums: there is no file marts/sums.sql"),
}
"""Name of a stream -> what its description says besides, the file that it lacks, and what is said of it."""


def test_the_location_loads_with_folders_that_cannot_be_used(tmp_path: Path) -> None:
    folders = [write_folder(tmp_path / "pings", "pings")]
    for name, (toml, missing, _) in BROKEN.items():
        folders.append(write_folder(tmp_path / name, name, toml=toml))
        if missing:
            (tmp_path / name / missing).unlink()
    told_of = {name: said for name, (_, _, said) in BROKEN.items()} | {
        "op": "the op warehouse__op_days_known is op's already",
        "final": "'warehouse_' is no name of a stream",
        "double": "'ware__house' is no name of a stream",
        "folder_2024_orders": "is no TOML",
    }
    folders += [
        write_folder(tmp_path / "op", "op"),
        write_folder(tmp_path / "final", "warehouse_", table="final"),
        write_folder(tmp_path / "double", "ware__house", table="double"),
        write_folder(tmp_path / "2024-orders", "x", toml="what = is this\n"),
        write_folder(tmp_path / "books", "books", source="shop.bücher"),
    ]
    (tmp_path / "op" / "marts").mkdir()
    (tmp_path / "op" / "marts" / "op_days_known.sql").write_text("SELECT 1 AS one")
    environment = {"ENGAGEMENT_STREAMS": ":".join(map(str, folders)), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    jobs, told = json.loads(done.stdout.splitlines()[-1])
    assert {"engagement_stream", "pings_stream", "settle_day", "pings_settle_day", "books_settle_day"} <= set(jobs)
    assert not told.pop("keep_pings_stream_alive").startswith("fails: ")
    assert not told.pop("keep_books_stream_alive").startswith("fails: ")
    assert told.keys() == {f"keep_{name}_stream_alive" for name in told_of}
    for name, said in told_of.items():
        assert f"{name}_stream" in jobs
        assert f"{name}_settle_day" not in jobs
        failure = told[f"keep_{name}_stream_alive"]
        assert failure.startswith("fails: ")
        assert said in failure
        assert "reload the code location" in failure


def test_a_run_that_was_launched_before_its_folder_broke_ends_with_the_reason() -> None:
    job = broken_of("orders", UNREADABLE).resolve_job_def("orders_stream")
    for config in ({}, {"lease_seconds": 0}):
        result = job.execute_in_process(run_config=config, raise_on_error=False)
        assert not result.success
        failure = result.failure_data_for_node("orders_cannot_be_used")
        assert failure is not None
        assert failure.user_failure_data is not None
        assert "orders/stream.toml is no TOML. Mend the line." in str(failure.user_failure_data.description)


@pytest.mark.parametrize(
    "other",
    [
        made("other", table=PACKAGED.table),
        made("other", table="daily_device_engagement"),
        made("other", table="staged_batches"),
        made("other", table="mine", marts={"orders": "SELECT 1"}),
        made("other", table="other_staged_batches"),
    ],
    ids=["events", "a mart", "batches", "its mart", "its own"],
)
def test_what_two_streams_would_call_theirs_is_of_the_first(other: object) -> None:
    streams = {"engagement": PACKAGED, "orders": ORDERS, "other": other, "pings": PINGS}
    present = told_apart(streams)  # type: ignore[arg-type]
    assert present.usable == [PACKAGED, ORDERS, PINGS]
    assert list(present.broken) == ["other"]
    error = present.broken["other"]
    assert "already" in error.what
    merged = dg.Definitions.merge(*present.definitions, broken_of("other", error))
    dg.Definitions.validate_loadable(merged)


def test_a_stream_that_dagster_refuses_is_broken_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(stream: EventStream) -> dg.Definitions:
        if stream is ORDERS:
            raise dg.DagsterInvalidDefinitionError("It is no name.")
        return dg.Definitions()

    monkeypatch.setattr("engagement_platform.orchestration.location.definitions_of", refused)
    present = told_apart({"engagement": PACKAGED, "orders": ORDERS, "pings": PINGS})
    assert present.usable == [PACKAGED, PINGS]
    assert "Dagster refuses it: It is no name." in present.broken["orders"].what


def test_a_stream_that_fails_keeps_no_other_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def load(name: str) -> Settings:
        return Settings.of(stream=name, source_dsn="postgresql://a/b", platform_dsn="postgresql://a/b")

    def act(settings: Settings) -> None:
        if settings.stream == "orders":
            raise SettingsError("It is away.", "Look: engagement-platform doctor")
        done.append(settings.stream)

    module = "engagement_platform.orchestration.failures"
    monkeypatch.setattr(
        f"{module}.streams", lambda: {**dict.fromkeys(["engagement", "orders", "pings"]), "broken": UNREADABLE}
    )
    monkeypatch.setattr(f"{module}.load", load)
    with pytest.raises(
        dg.Failure, match=r"orders: It is away\. Look: engagement-platform doctor --stream orders broken: orders"
    ):
        for_each_stream(act)
    assert done == ["engagement", "pings"]


@pytest.mark.parametrize(
    "error", [CheckError("a check"), ValueError("a value"), dg.DagsterInvalidDefinitionError("it")]
)
def test_whatever_dagster_raises_for_a_stream_stops_that_stream_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refusing(stream: EventStream) -> dg.Definitions:
        if stream is ORDERS:
            raise error
        return definitions_of(stream)

    monkeypatch.setattr("engagement_platform.orchestration.location.definitions_of", refusing)
    loaded = location({"engagement": PACKAGED, "orders": ORDERS, "pings": PINGS}, shared)
    said = f"Dagster refuses it: {error}"
    assert_broken(loaded, {"orders": said}, {"engagement", "pings"})


@pytest.mark.parametrize("kind", ["asset", "job", "sensor", "check", "op"])
def test_what_conflicts_only_in_the_whole_stops_the_later_stream_alone(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Names that nobody has compared before: Dagster does when the location is loaded."""

    @dg.op(name="tidy_up")
    def op() -> None: ...

    @dg.job(name="keep_warehouse_small" if kind == "job" else "another")
    def job() -> None:
        op()

    @dg.asset_check(asset=dg.AssetKey(["warehouse", "engagement_events"]), name="days_known")
    def check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    more = {
        "asset": dg.Definitions(assets=[dg.AssetSpec(source_key("content"))]),
        "job": dg.Definitions(jobs=[job]),
        "sensor": dg.Definitions(sensors=[dg.SensorDefinition("end_dead_runs", job=job, evaluation_fn=lambda _: None)]),
        "check": dg.Definitions(asset_checks=[check]),
        "op": dg.Definitions(jobs=[job]),
    }[kind]

    def conflicting(stream: EventStream) -> dg.Definitions:
        own = definitions_of(stream)
        return dg.Definitions.merge(own, more) if stream is ORDERS else own

    monkeypatch.setattr("engagement_platform.orchestration.location.definitions_of", conflicting)
    monkeypatch.setattr("engagement_platform.orchestration.location._names", lambda _: iter(()))
    loaded = location({"engagement": PACKAGED, "orders": ORDERS, "pings": PINGS}, shared)
    assert_broken(loaded, {"orders": "Dagster refuses it"}, {"engagement", "pings"})


def assert_broken(loaded: dg.Definitions, broken: dict[str, str], usable: set[str]) -> None:
    repository = loaded.get_repository_def()
    for name in usable:
        assert repository.get_job(f"{name}_stream").nodes
    for name, said in broken.items():
        (op,) = repository.get_job(f"{name}_stream").nodes
        assert op.name == f"{name}_cannot_be_used"
        assert said in str(repository.get_job(f"{name}_stream").description)
