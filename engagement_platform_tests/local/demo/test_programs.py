import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import state
from engagement_platform.local.demo import programs
from engagement_platform.local.demo.programs import Dagster, Measuring, Page, as_fresh
from engagement_platform.local.generator.plans import Workload
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import running, wait_for

PARENT = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"


def started(folder: Path, code: str) -> Dagster:
    dagster = Dagster(folder)
    dagster.daemon.spawn(as_fresh("-c", code))
    return dagster


def session(dagster: Dagster) -> list[psutil.Process]:
    leader = dagster.daemon.process()
    assert leader is not None
    return [p for p in psutil.process_iter() if session_of(p) == leader.pid]


def session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:  # ended since it was listed
        return None


def test_stopping_ends_the_whole_session(tmp_path: Path) -> None:
    dagster = started(tmp_path, PARENT)
    members = wait_for(lambda: m if len(m := session(dagster)) == 2 else None, "both processes")
    began = time.monotonic()
    dagster.stop()
    assert time.monotonic() - began < 3
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)
    assert not dagster.daemon.pid_file.exists()


WEBSERVER = (
    "import socket, sys, time; port = int(sys.argv[sys.argv.index('-p') + 1]); "
    "server = socket.create_server(('127.0.0.1', port)); time.sleep(60)"
)


def test_dagster_starts_on_another_port_when_its_own_was_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster = Dagster(tmp_path)
    monkeypatch.setattr(programs, "as_fresh", lambda *command: [sys.executable, "-c", WEBSERVER, *command])
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]
        choose = state.choose_port
        monkeypatch.setattr(state, "choose_port", lambda kept, usual: choose(kept, None) if usual is None else taken)
        dagster.start(os.environ)
        assert dagster.url.endswith(f":{taken}")
        wait_for(lambda: not dagster.daemon.is_running, "it to fail")
        dagster.check()
        port = int(dagster.url.rpartition(":")[2])
        assert port != taken
        wait_for(lambda: dagster.daemon.listens_on(port), "it to listen")
        dagster.check()
        dagster.stop()


def test_the_page_links_to_the_dagster_of_the_demo(tmp_path: Path) -> None:
    page = Page(tmp_path)
    page.dagster_url = "http://127.0.0.1:3000"
    _, gently, *command = page.command(3010)
    assert "os.nice(" in gently
    assert command == ["serve", "--port", "3010", "--dagster", "http://127.0.0.1:3000"]
    assert page.daemon.pid_file != Dagster(tmp_path).daemon.pid_file


def test_what_a_killed_leader_left_behind_is_ended(tmp_path: Path) -> None:
    dagster = started(tmp_path, PARENT)
    members = wait_for(lambda: m if len(m := session(dagster)) == 2 else None, "both processes")
    leader = dagster.daemon.process()
    assert leader is not None
    leader.kill()
    leader.wait(5)
    Dagster(tmp_path).kill_leftovers()
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)


def test_a_clock_that_was_set_meanwhile_keeps_nothing_alive(tmp_path: Path) -> None:
    dagster = started(tmp_path, PARENT)
    members = wait_for(lambda: m if len(m := session(dagster)) == 2 else None, "both processes")
    known = json.loads(dagster.daemon.pid_file.read_text())
    dagster.daemon.pid_file.write_text(json.dumps(known | {"began": known["began"] + 3_600}))
    dagster.stop()
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)


def test_a_stale_file_ends_nobody(tmp_path: Path) -> None:
    dagster = Dagster(tmp_path)
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        dagster.daemon.pid_file.parent.mkdir()
        dagster.daemon.pid_file.write_text(f'{{"pid": {other.pid}, "began": {time.time() - 9_000}}}')
        dagster.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_programs_react_to_signals_even_when_the_demo_ignores_them(tmp_path: Path) -> None:
    """`nohup engagement-platform demo &` makes every child ignore SIGINT."""
    inner = as_fresh("-c", "import signal; print(signal.getsignal(signal.SIGINT))")
    outer = f"import signal, subprocess; signal.signal(signal.SIGINT, signal.SIG_IGN); subprocess.run({inner!r})"
    said = subprocess.run([sys.executable, "-c", outer], capture_output=True, text=True, check=True).stdout
    assert "default_int_handler" in said


def test_a_dagster_that_has_ended_is_reported_with_its_log(tmp_path: Path) -> None:
    dagster = started(tmp_path, "raise SystemExit('no such workspace')")
    wait_for(lambda: not dagster.daemon.is_running, "the end")
    with pytest.raises(EngagementError, match="no such workspace") as caught:
        dagster.check()
    assert "dagster.log" in str(caught.value)


def variables(settings: Settings, source: SourceDatabase) -> dict[str, str]:
    """Return the environment of a process that is to use these settings."""
    values = {
        "SOURCE_DSN": settings.source.dsn.get_secret_value(),
        "PLATFORM_DSN": settings.platform.dsn.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "REDIS_URL": settings.redis.url.get_secret_value(),
        "TOPIC": settings.topics.events,
        "CHECKPOINT_TOPIC": settings.topics.checkpoint,
        "DEAD_LETTER_TOPIC": settings.topics.dead_letters,
        "REDIS_NAMESPACE": settings.redis.namespace,
        "START": settings.relay.start,
        "LOCAL_WRITER_DSN": source.writer_dsn,
    }
    return {**os.environ, **{f"ENGAGEMENT_{name}": value for name, value in values.items()}}


def test_every_noted_event_is_measured(settings: Settings, source_db: SourceDatabase, tmp_path: Path) -> None:
    with running(relay.run, settings), running(tally.run, settings):
        measuring = Measuring(tmp_path, variables(settings, source_db))
        wait_for(lambda: _has_topic(settings), "the topic")
        try:
            measuring.start_reader()
            measuring.start_generator(Workload(rate=500))
            wait_for(lambda: measuring.seen.measured > 1_000, "measured events")
            measuring.check()
            measuring.stop_generator()
            seen = measuring.finish()
        finally:
            measuring.stop()
    assert seen.noted == seen.measured == seen.in_kafka == seen.in_redis > 1_000
    assert seen.waiting == seen.unpublished == 0
    assert seen.latency_ms.p50 is not None
    assert 1 < seen.latency_ms.p50 < 5_000
    assert seen.first_visible_ns is not None


def _has_topic(settings: Settings) -> bool:
    from engagement_platform_tests.kafka_admin import admin

    with admin(settings.kafka) as client:
        return settings.topics.events in client.list_topics()


def test_a_generator_that_cannot_write_is_reported_with_its_log(
    settings: Settings, source_db: SourceDatabase, tmp_path: Path
) -> None:
    environment = variables(settings, source_db) | {"ENGAGEMENT_LOCAL_WRITER_DSN": "postgresql://x@127.0.0.1:9/none"}
    with running(relay.run, settings):
        wait_for(lambda: _has_topic(settings), "the topic")
        measuring = Measuring(tmp_path, environment)
        try:
            measuring.start_reader()
            measuring.start_generator(Workload())
            with pytest.raises(EngagementError, match="ENGAGEMENT_LOCAL_WRITER_DSN"):
                wait_for(measuring.check, "the failure")
        finally:
            measuring.stop()


def test_a_measuring_process_that_cannot_begin_is_reported(tmp_path: Path) -> None:
    measuring = Measuring(tmp_path, {**os.environ, "ENGAGEMENT_SOURCE_DSN": ""})
    with pytest.raises(EngagementError, match=r"measure\.log"):
        measuring.start_reader()
    measuring.stop()


def test_a_program_that_ignores_the_interrupt_is_terminated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engagement_platform.local.demo import programs

    monkeypatch.setattr(programs, "_STEPS", ((signal.SIGINT, 0.3), (signal.SIGTERM, 5)))
    dagster = started(tmp_path, STUBBORN)
    wait_for(dagster.daemon.log_file.read_bytes, "the handler")
    dagster.stop()
    assert not dagster.daemon.is_running
