"""The long soaks on servers of their own: `make soak`. Ends by itself after some 25 minutes.

`make soak ARGS="outage"` runs that one only. Exits with 1 when a budget is missed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engagement_platform.local import stack
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure, table
from engagement_platform_tests.soak import soaks
from engagement_platform_tests.soak.leases import leases
from engagement_platform_tests.soak.overload import overload

SOAKS: Mapping[str, Callable[[Endpoints], list[Figure]]] = {
    "misbehaving": lambda endpoints: soaks.misbehaving(endpoints, seconds=300, rate=500, every=4, away=60),
    "outage": lambda endpoints: soaks.outage(endpoints, seconds=120, rate=500),
    "kills": lambda endpoints: soaks.kills(endpoints, times=40, rate=500),
    "overload": lambda endpoints: overload(endpoints, seconds=120),
    "leases": lambda endpoints: leases(endpoints, seconds=600, lease=20),
}


def main() -> None:
    """Run the soaks, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(SOAKS)}")
    chosen = parser.parse_args().names or list(SOAKS)
    if unknown := set(chosen) - SOAKS.keys():
        parser.error(f"no soak {', '.join(unknown)}; there are {', '.join(SOAKS)}")
    folder = Path(tempfile.mkdtemp(prefix="engagement-soak-"))
    folder.chmod(0o755)
    missed = False
    try:
        endpoints = stack.up(folder, use_usual_ports=False)
        for name in chosen:
            began, before = time.monotonic(), os.getloadavg()[0]
            figures = SOAKS[name](endpoints)
            missed |= any(each.verdict == "missed" for each in figures)
            title = f"{name}: {time.monotonic() - began:.0f} s, load of the machine before {before:.1f}"
            sys.stdout.write(table(title, figures) + "\n")
            sys.stdout.flush()
    finally:
        stack.reset(folder)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
