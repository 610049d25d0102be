"""Backfills of today beside the stream, whole and killed; and more than is possible."""

import re
import subprocess
import sys
import time
from random import Random
from signal import SIGKILL

import psutil
import psycopg

from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.processes import signal_all
from engagement_platform_tests.chaos.system import ROOT, System
from engagement_platform_tests.streaming import wait_for

_STARTED = """
SELECT event FROM event_logs JOIN runs USING (run_id) JOIN run_tags USING (run_id)
 WHERE runs.status = 'STARTED' AND run_tags.key = 'dagster/backfill' AND event LIKE '%Started process for run%'
"""


def _begun(system: System) -> "subprocess.Popen[str]":
    """Start a backfill of today, as an operator would."""
    return subprocess.Popen(
        [sys.executable, "-m", "engagement_platform", *system.backfill_of_today()],
        env=system.variables, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _ended(process: "subprocess.Popen[str]", seconds: float = 400.0) -> None:
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said


def _backfill(system: System, luck: Random) -> None:
    _ended(_begun(system))


def _workers(system: System) -> list[psutil.Process]:
    """Return the processes of the backfill's runs that are at work, as Dagster's own log of events tells."""
    found = []
    with psycopg.connect(system.addresses()["platform"]) as connection:
        for (event,) in connection.execute(_STARTED):
            number = re.search(r"pid: (\d+)", event)
            if number and psutil.pid_exists(int(number[1])):
                found.append(psutil.Process(int(number[1])))
    return found


def _killed(system: System, luck: Random) -> None:
    """Kill the run of the backfill once it is at work; Dagster launches it again."""
    process = _begun(system)
    (victim,) = wait_for(lambda: _workers(system)[:1], "the run of the backfill", 300)
    time.sleep(luck.uniform(2, 5))
    signal_all([victim, *victim.children(recursive=True)], SIGKILL)
    _ended(process)


def _overload(system: System, luck: Random) -> None:
    """Write so much for a while that the machine cannot keep up."""
    assert system.writers is not None
    process = system.writers.generate(6_000)
    time.sleep(luck.uniform(8, 12))
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)
    system.healed()


FAULTS: tuple[Fault, ...] = (
    Fault("backfill today", "a backfill of today beside the stream", "its end", _backfill, 60.0, needs="Dagster"),
    Fault("kill the backfill", "kill -9 of the run that rebuilds today", "Dagster launches it again", _killed, 100.0,
          needs="Dagster"),
    Fault("overload", "6,000 events/s offered for 8 to 12 s", "fewer events", _overload, 60.0,
          {"kafka": 30.0, "redis": 30.0, "warehouse": 60.0, "partner": 120.0}, "healed"),
)  # fmt: skip
