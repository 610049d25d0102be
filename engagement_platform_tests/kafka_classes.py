"""Kafka's classes, loaded and linked ahead of time: a suite starts some thirty brokers, each for half of the processor.

The first session in an environment lets a broker show which classes it needs (Java's AOT cache, JEP 514); Java looks
itself whether what was kept fits, and goes without where it does not.
"""

import fcntl
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.kafka import USUAL_PORTS, Kafka
from engagement_platform.local.state import StackState, choose_port
from engagement_platform_tests import daemons

CLASSES = Path(sys.prefix) / "kafka-classes.aot"
_OPTIONS = "JAVA_TOOL_OPTIONS"


def learn() -> None:
    """Keep the classes once, and let every broker that is started from now on use them."""
    with CLASSES.with_suffix(".lock").open("w") as lock, suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever comes while another learns goes without
        if not CLASSES.exists():
            with suppress(EngagementError):
                _keep()
    os.environ[_OPTIONS] = f"-XX:AOTCache={CLASSES}"


def _keep() -> None:
    with tempfile.TemporaryDirectory() as folder:
        broker = Kafka(StackState(Path(folder), {name: choose_port(None, None) for name in USUAL_PORTS}))
        learned = Path(folder) / CLASSES.name
        try:
            broker.start()  # it formats its storage, by another program
            broker.daemon.stop()
            os.environ[_OPTIONS] = f"-XX:AOTCacheOutput={learned}"
            broker.start()
            broker.daemon.stop(seconds=60)  # Java writes at its end
        finally:
            os.environ.pop(_OPTIONS, None)
            daemons.kill(broker.daemon)
        if learned.exists():
            kept = CLASSES.with_suffix(f".{os.getpid()}")
            kept.write_bytes(learned.read_bytes())
            kept.rename(CLASSES)
