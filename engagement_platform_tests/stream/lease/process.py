"""A process with one loop under a lease, for tests. It says what happens."""

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection

from engagement_platform.domain.progress import EVENTS
from engagement_platform.settings import load
from engagement_platform.stream.lease import hold_lease


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def main(
    output: Connection, environment: Mapping[str, str], run_id: str, loop: str, loops: Sequence[str], seconds: float
) -> None:
    """Hold the loop's lease until it is told to stop; what it says goes to `output`."""
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    logging.basicConfig(stream=sys.stdout, format="log %(message)s", level=logging.INFO, force=True)
    with hold_lease(load(), run_id=run_id, loop=loop, loops=loops, lease_seconds=seconds) as control:
        say("registered")
        control.claim()
        say(f"owns {control.epoch}")
        while not control.should_stop():
            control.progress.count(EVENTS)
            time.sleep(0.02)
        say(f"stops {control.stop.reason}")
    say("ended")
