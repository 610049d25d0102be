"""The four loops as processes of their own, without Dagster: for a machine that does not carry all of it.

They hold a lease as those of a run do. A loop that ends is started again, as Dagster would do, but by a new Python: for
how long it stands still then says little.
"""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from engagement_platform.stream.registry import NAMES

_LOOP = """
import os
from engagement_platform.settings import load
from engagement_platform.stream.lease import hold_lease
from engagement_platform.stream.registry import NAMES, loop_named
settings = load()
held = dict(run_id="loops", loop="{loop}", loops=NAMES, lease_seconds=86_400, end_hung=lambda: os._exit(1))
with hold_lease(settings, **held) as control:
    loop_named("{loop}").imported().run(settings, control)
"""


class Loops:
    """The processes, and a thread that supervises them."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "logs" / "loops.log"
        self._log.parent.mkdir(exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._variables: Mapping[str, str] = {}
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self, variables: Mapping[str, str]) -> None:
        """Start them."""
        self._variables = variables
        self._thread.start()

    def stop(self) -> None:
        """Kill them."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for process in self._running.values():
            process.kill()
            process.wait()

    def log_tail(self) -> str:
        """Return what they said last."""
        return self._log.read_text(errors="replace")[-3_000:] if self._log.exists() else ""

    def _supervise(self) -> None:
        with self._log.open("ab") as log:
            while not self._stop.wait(0.05):
                for loop in NAMES:
                    if loop not in self._running or self._running[loop].poll() is not None:
                        self._running[loop] = subprocess.Popen(
                            [sys.executable, "-c", _LOOP.format(loop=loop)],
                            env=self._variables, stdout=log, stderr=log, start_new_session=True,
                        )  # fmt: skip
