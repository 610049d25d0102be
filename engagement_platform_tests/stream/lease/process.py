"""A process with one loop under a lease, for tests: `python -m ... RUN LOOP LOOPS SECONDS`. It says what happens."""

import logging
import sys
import time

from engagement_platform.domain.progress import EVENTS
from engagement_platform.settings import load
from engagement_platform.stream.lease import hold_lease


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def main(run_id: str, loop: str, loops: str, seconds: str) -> None:
    logging.basicConfig(stream=sys.stdout, format="log %(message)s", level=logging.INFO)
    with hold_lease(load(), run_id=run_id, loop=loop, loops=loops.split(","), lease_seconds=float(seconds)) as control:
        say("registered")
        control.claim()
        say(f"owns {control.epoch}")
        while not control.should_stop():
            control.progress.count(EVENTS)
            time.sleep(0.02)
        say(f"stops {control.stop.reason}")
    say("ended")


if __name__ == "__main__":
    main(*sys.argv[1:])
