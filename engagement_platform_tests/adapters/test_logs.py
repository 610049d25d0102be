"""Lines for programs, each printed once, whatever libraries do."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engagement_platform.adapters import batch_log, logs

RUN = """
import logging, sys
import dagster as dg
from engagement_platform.adapters import batch_log, logs
from engagement_platform.orchestration.private import consoles
if {installs}:
    logs.install()
log = logging.getLogger("engagement_platform.relay")

@dg.op
def relay(context):
    logs.reform(consoles(context.log))
    with logs.bound(stream="orders", run=context.run_id, loop="relay"):
        logging.warning("Retrying failed database connection")
        log.warning("event %d is a dead letter", 7, extra={{"batch": "17"}})
        batch_log.published(17, [3, 1, 2])
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("it failed")

@dg.job
def stream():
    relay()

with dg.DagsterInstance.from_config({home!r}) as instance:
    assert stream.execute_in_process(instance=instance).success
"""

DAEMON = """
import logging
from dagster._utils.log import configure_loggers
from engagement_platform.adapters import logs
configure_loggers()
if {installs}:
    logs.install()
logging.warning("Retrying failed database connection")
logging.getLogger("dagster.daemon.SensorDaemon").warning("a tick failed")
logging.getLogger("dagster.daemon.SensorDaemon").info("a tick")
"""


def lines(tmp_path: Path, *, installs: bool = True, **settings: str) -> list[str]:
    """Return what a run prints that logs a warning, an exception and a batch after a library has logged."""
    managed = "python_logs: {managed_python_loggers: [engagement_platform], python_log_level: INFO}\n"
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{managed}")
    program = RUN.format(installs=installs, home=str(tmp_path))
    environment = os.environ | {f"ENGAGEMENT_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stderr.splitlines()


@pytest.mark.slow
def test_lines_are_json_off_a_terminal_with_stream_run_loop_and_batch_and_printed_once(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = [
        json.loads(line) for line in lines(tmp_path, LOG_BATCHES="on") if line.startswith("{")
    ]
    (letter,) = [line for line in told if "dead letter" in line["message"]]
    assert (letter["stream"], letter["loop"], letter["batch"], letter["level"]) == ("orders", "relay", "17", "WARNING")
    assert letter["message"] == "event 7 is a dead letter", "without what Dagster puts in front of it"
    (failure,) = [line for line in told if line["message"] == "it failed"]
    assert failure["run"] == letter["run"]
    assert "ZeroDivisionError" in failure["error"]
    (published,) = [line for line in told if line["message"] == "published"]
    assert (published["batch"], published["ids"], published["events"]) == ("17", [1, 3], 3)
    assert len([line for line in told if "Retrying" in line["message"]]) == 1


@pytest.mark.slow
def test_text_comes_once_too_and_without_the_mending_twice(tmp_path: Path) -> None:
    def times(printed: list[str]) -> int:
        return sum("event 7 is a dead letter" in line for line in printed)

    assert times(lines(tmp_path, LOG_FORMAT="text")) == 1
    assert times(lines(tmp_path, installs=False, LOG_FORMAT="text")) == 2, "what libraries do is as it was"


@pytest.mark.slow
@pytest.mark.parametrize(("installs", "times"), [(True, 1), (False, 2)])
def test_the_lines_of_dagsters_daemon_come_once_behind_a_lost_connection(*, installs: bool, times: int) -> None:
    program = [sys.executable, "-c", DAEMON.format(installs=installs)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr.count("Retrying failed database connection") == 1
    assert (done.stdout + done.stderr).count("a tick failed") == times


@pytest.mark.parametrize(
    ("chosen", "is_terminal", "is_json"),
    [("auto", True, False), ("auto", False, True), ("text", False, False), ("json", True, True)],
)
def test_the_form_is_chosen_by_the_setting_and_the_terminal(
    chosen: str, is_terminal: bool, is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_LOG_FORMAT", chosen)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    assert logs.is_json(stream) is is_json


def test_a_setting_that_is_at_fault_stops_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_LOG_FORMAT", "xml")
    assert logs.is_json(io.StringIO())


def test_any_line_is_one_line_of_json() -> None:
    record = logging.makeLogRecord(
        {"name": "a", "levelname": "INFO", "msg": "two\nlines \u2028 %s", "args": (object(),)}
    )
    record.batches = {1, 2}
    (line,) = logs.JsonFormatter().format(record).split("\n")
    assert json.loads(line)["message"].startswith("two\nlines")


def test_batches_are_not_logged_unless_asked_for() -> None:
    assert not batch_log.is_on()


def test_a_sink_names_each_batch_once_and_its_offsets(batch_lines: list[logging.LogRecord]) -> None:
    assert batch_log.is_on()
    batch_log.handled("counted", ["18", "17", "17", None, ""], {1: (5, 9), 0: (2, 2)}, 6)
    (line,) = batch_lines
    assert line.__dict__["batches"] == ["17", "18"]
    assert line.__dict__["offsets"] == {"0": [2, 2], "1": [5, 9]}
