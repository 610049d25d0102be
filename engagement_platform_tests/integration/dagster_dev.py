"""`dagster dev` over servers of a test's own, as an operator runs it."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from pydantic import SecretStr

from engagement_platform.local import stack as local_stack
from engagement_platform.local.demo.programs import Dagster
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings, variable

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0


def environment(endpoints: Endpoints, folder: Path, settings: Settings) -> dict[str, str]:
    """Return the environment of a program that works with exactly these settings."""
    own = {variable(name): _text(value) for name, value in settings.given().items()}
    own["ENGAGEMENT_WAREHOUSE_URI"] = settings.effective_warehouse_uri
    return os.environ | local_stack.environment(endpoints, folder) | own | {"DAGSTER_HOME": str(ROOT)}


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@contextmanager
def dagster_dev(folder: Path, variables: Mapping[str, str]) -> Iterator[Dagster]:
    """Run `dagster dev` from the repository's root while the block runs. The working directory has to be the root."""
    program = Dagster(folder)
    program.start(variables)
    try:
        yield program
    finally:
        program.stop()


def children(dagster: Dagster, *words: str) -> list[psutil.Process]:
    """Return the processes of `dagster dev` whose command line has all the words."""
    leader = dagster.daemon.process()
    assert leader is not None
    found = []
    for child in leader.children(recursive=True):
        with suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if all(word in command for word in words):
                found.append(child)
    return found


def started_processes(instance: dg.DagsterInstance, run_id: str, said: str) -> list[psutil.Process]:
    """Return the living processes that a run's log tells of in lines with `said`."""
    found = []
    for entry in instance.all_logs(run_id):
        number = re.search(r"pid: (\d+)", entry.message or "")
        if number and said in entry.message and psutil.pid_exists(int(number[1])):
            found.append(psutil.Process(int(number[1])))
    return found


def kill(processes: list[psutil.Process]) -> None:
    """Kill processes, some of which may have ended."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
