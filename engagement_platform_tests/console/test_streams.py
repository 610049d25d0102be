"""--stream: which stream a command is for, and what status and doctor show of several."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.cli import group
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.stream_names import aimed
from engagement_platform.settings import Settings, load
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import write_folder


@pytest.fixture(autouse=True)
def orders(settings: Settings, in_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two streams, with their schemas."""
    assert in_environment is None
    monkeypatch.setenv("ENGAGEMENT_STREAMS", str(write_folder(tmp_path / "orders", "orders")))
    for stream in (settings, load("orders")):
        ensure_schema(stream)


def use(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(group, arguments)


def streams(settings: Settings) -> None:
    """Let all loops of a stream stream."""
    with Leases.opened(settings, "test") as leases:
        for loop in NAMES:
            awaits = leases.register("abc", loop)
        leases.claim("abc", awaits, 60, NAMES)
        for loop in NAMES:
            leases.beat("abc", loop, awaits, {"events": 1, "lag": 0, "state": {"kind": "streams", "since": 0}})


def test_a_command_is_for_the_stream_that_is_named_and_for_the_packaged_one_without(settings: Settings) -> None:
    assert use("pause", "tally", "--stream", "orders").exit_code == 0
    with Pauses.opened(settings, "test") as pauses:
        assert not pauses.present()
    with Pauses.opened(load("orders"), "test") as pauses:
        assert list(pauses.present()) == ["tally"]
    assert "tally is not paused" in use("resume", "tally").output
    assert "goes on" in use("resume", "tally", "--stream", "orders").output


def test_a_stream_that_there_is_not_is_answered_with_those_there_are() -> None:
    for command in (["status"], ["doctor"], ["checkpoint", "show"], ["backfill", "--since", "2026-01-01"]):
        answered = use(*command, "--stream", "refunds")
        assert answered.exit_code == 2
        assert "There is no stream 'refunds'. There are: engagement, orders." in answered.output


def test_a_remedy_names_the_stream_while_its_command_runs_and_no_longer() -> None:
    failed = use("checkpoint", "restore", "--yes", "--stream", "orders")
    assert isinstance(failed.exception, EngagementError)
    assert "Kafka" in str(failed.exception) or "checkpoint" in str(failed.exception)
    assert aimed("engagement-platform doctor") == "engagement-platform doctor"


def test_status_shows_each_stream_below_a_sentence_on_all(settings: Settings) -> None:
    streams(settings)
    shown = use("status")
    assert shown.exit_code == 1, "one of them stands still"
    lines = shown.output.splitlines()
    assert lines[0] == "1 of 2 streams is not well: orders"
    assert [line for line in lines if line.startswith("engagement: All well.")]
    assert "orders: Nothing has streamed yet." in lines
    assert use("status", "--stream", "engagement").exit_code == 0
    streams(load("orders"))
    shown = use("status")
    assert (shown.exit_code, shown.output.splitlines()[0]) == (0, "All well: engagement, orders stream.")
    told = json.loads(use("status", "--format", "json").output)
    assert told["summary"]["well"]
    assert {name: one["lease"]["epoch"] for name, one in told["streams"].items()} == {"engagement": 1, "orders": 1}
    assert told["runs"] == []
    one = json.loads(use("status", "--format", "json", "--stream", "orders").output)
    assert one.keys() == {"summary", "lease", "lease_in_words", "conditions", "loops", "totals", "dead_letters", "runs"}


def test_status_and_doctor_show_the_others_where_one_cannot_be_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams(settings)
    broken = write_folder(tmp_path / "broken", "broken", toml="what = is this\n")
    monkeypatch.setenv("ENGAGEMENT_STREAMS", f"{tmp_path / 'orders'}:{broken}")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__REDIS_URL", "nonsense")
    shown = use("status")
    assert shown.exit_code == 1
    assert shown.output.splitlines()[0] == "2 of 3 streams are not well: orders, broken"
    assert "ENGAGEMENT_ORDERS__REDIS_URL" in shown.output
    assert "stream.toml is no TOML" in shown.output
    examined = use("doctor")
    assert examined.exit_code == 1
    assert "ENGAGEMENT_ORDERS__REDIS_URL" in examined.output
    assert "stream.toml is no TOML" in examined.output
    assert "platform database: answers" in examined.output


def test_without_the_packaged_stream_commands_are_for_the_only_one_and_nothing_asks_for_its_tables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_PACKAGED_STREAM", "off")
    assert use("pause", "tally").exit_code == 0
    with Pauses.opened(load("orders"), "test") as pauses:
        assert list(pauses.present()) == ["tally"]
    with Pauses.opened(settings, "test") as pauses:
        assert not pauses.present()
    assert "keep_orders_stream_alive off" in use("pause", "relay").output
    told = json.loads(use("status", "--format", "json").output)
    assert "streams" not in told, "it is of the one stream"
    examined = use("doctor").output
    assert "pings" in examined
    assert "engagement_events" not in examined
    refused = use("status", "--stream", "engagement")
    assert "There is no stream 'engagement'. There are: orders." in refused.output


def test_doctor_looks_at_what_all_share_also_where_no_stream_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_REFUNDS__TOPIC", "refunds")
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
    for lease_seconds in ("soon", "300"):
        monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", lease_seconds)
        examined = use("doctor")
        assert examined.exit_code == 1
        assert examined.output.count("Dagster: DAGSTER_HOME is /nowhere") == 1
        assert examined.output.count("ENGAGEMENT_REFUNDS__TOPIC is of the stream refunds, which is not there") == 1


@pytest.mark.parametrize("named", [(), ("--stream", "engagement")])
def test_doctor_says_what_is_wrong_with_the_only_stream_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...]
) -> None:
    """A folder of one's own in place of the packaged one, which cannot be used; then settings that cannot."""
    folder = write_folder(tmp_path / "mine", "engagement")
    (folder / "enriched.sql").unlink()
    monkeypatch.setenv("ENGAGEMENT_STREAMS", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", "")
    broken = use("doctor", *named)
    monkeypatch.delenv("ENGAGEMENT_STREAMS")
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", "many")
    unset = use("doctor", *named)
    for told, said in ((broken, "enriched.sql"), (unset, "ENGAGEMENT_LEASE_SECONDS")):
        assert told.exit_code == 1
        assert isinstance(told.exception, SystemExit), told.exception
        assert said in told.output
        assert "Dagster: DAGSTER_HOME" in told.output, "what all streams share is looked at, too"
        assert "2 to mend" in told.output
