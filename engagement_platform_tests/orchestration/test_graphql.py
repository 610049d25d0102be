"""Backfills are launched and ended by Dagster's public interface, and need no webserver."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from engagement_platform.definitions import definitions
from engagement_platform.domain.errors import EngagementError
from engagement_platform.orchestration.graphql import literal, mutate
from engagement_platform.orchestration.private import asset_graph, latest_backfills
from engagement_platform.orchestration.warehouse import backfill
from engagement_platform.orchestration.warehouse.backfill import DayState
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform_tests.streams import PACKAGED

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
DAYS = [YESTERDAY - timedelta(days=1), YESTERDAY]
CANCEL = 'cancelPartitionBackfill(backfillId: "none")', "CancelBackfillSuccess { backfillId }"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME, which has no webserver and no daemon."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for name in ("SOURCE", "PLATFORM"):
        monkeypatch.setenv(f"ENGAGEMENT_{name}_DSN", "postgresql://127.0.0.1:1/unused")
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.mark.slow
def test_a_backfill_is_launched_looked_at_and_ended(instance: dg.DagsterInstance) -> None:
    why = 'the failed days of "abc"'
    backfill_id = backfill.start([events_key(PACKAGED)], DAYS, why, tags={"engagement/allow_removal": "true"})
    kept = instance.get_backfill(backfill_id)
    assert kept is not None
    assert kept.title == "the failed days of 'abc'"
    assert kept.tags == {**backfill.STARTED_BY, "engagement/allow_removal": "true"}
    seen = backfill.progress(instance, asset_graph(definitions), backfill_id)
    assert (seen.status, seen.ended, seen.error) == ("REQUESTED", False, None)
    assert seen.days == dict.fromkeys(DAYS, DayState.WAITS)
    assert seen.assets == (events_key(PACKAGED),), "a retry is for these"
    assert [one.backfill_id for one in latest_backfills(instance, 50) if not one.ended] == [backfill_id]
    backfill.cancel(instance, backfill_id)
    assert backfill.progress(instance, asset_graph(definitions), backfill_id).status == "CANCELING"


@pytest.mark.slow
def test_what_dagster_refuses_is_said(instance: dg.DagsterInstance) -> None:
    with pytest.raises(EngagementError, match="Dagster does not do it"):
        backfill.start([events_key(PACKAGED)], [date(1999, 1, 1)], "a day that Dagster does not know")
    assert all(one.ended for one in latest_backfills(instance, 50))
    with pytest.raises(EngagementError, match="There is no backfill none"):
        backfill.cancel(instance, "none")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for dagster-graphql, beside this Python."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    program = tmp_path / "dagster-graphql"
    program.touch(mode=0o755)
    return program


def answers(program: Path, answer: str, *, status: int = 0, says: str = "") -> None:
    (program.parent / "answer").write_text(answer)
    (program.parent / "says").write_text(says)
    program.write_text(
        f"#!/bin/sh\ncat {program.parent}/says >&2\ncp $4 {program.parent}/question\n"
        f"{f'cp {program.parent}/answer $6' if answer else ''}\nexit {status}\n"
    )


def test_an_answer_is_returned(program: Path) -> None:
    answers(program, json.dumps({"data": {"answer": {"__typename": "CancelBackfillSuccess", "backfillId": "none"}}}))
    assert mutate(*CANCEL)["backfillId"] == "none"
    assert CANCEL[0] in (program.parent / "question").read_text()


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (json.dumps({"data": {"answer": {"__typename": "PythonError", "message": "KeyError: the reason\n"}}}), 0, ""),
        (json.dumps({"errors": [{"message": "the reason"}]}), 0, ""),
        ("", 1, "Traceback\n  File\nImportError: the reason\n\n"),
    ],
    ids=["refused", "not understood", "not loaded"],
)
def test_why_dagster_does_not_do_it_is_said(program: Path, answer: str, status: int, says: str) -> None:
    answers(program, answer, status=status, says=says)
    with pytest.raises(EngagementError, match=r"Dagster does not do it: .*the reason"):
        mutate(*CANCEL)


def test_a_command_that_is_not_there_is_named(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(EngagementError, match="dagster-webserver"):
        mutate(*CANCEL)


def test_a_century_of_days_is_no_argument_too_long(program: Path) -> None:
    answers(program, json.dumps({"data": {"answer": {"backfillId": "none"}}}))
    days = [(YESTERDAY - timedelta(days=back)).isoformat() for back in range(36_500)]
    mutate(f"launchPartitionBackfill(backfillParams: {{partitionNames: {literal(days)}}})", "LaunchBackfillSuccess")
    assert (program.parent / "question").stat().st_size > 131_072


def test_the_command_is_installed_with_this_package() -> None:
    assert shutil.which("dagster-graphql", path=os.fspath(Path(sys.executable).parent))
