"""All benchmarks in one run, on servers of their own: `make bench`. Prints JSON; ends by itself after some 15 minutes.

`make bench ARGS="relay tally"` runs those only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engagement_platform.local import stack
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench import bench_gaps, bench_rebuild, bench_relay, bench_upkeep, bench_warehouse

EVENTS = 300_000


def main() -> None:
    """Run each benchmark against the same servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}")
    chosen = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(chosen) - BENCHMARKS.keys():
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    folder.chmod(0o755)
    try:
        endpoints = stack.up(folder, use_usual_ports=False)
        for name in chosen:
            _print({name: BENCHMARKS[name](endpoints, folder), "load of the machine": os.getloadavg()[0]})
    finally:
        stack.reset(folder)


def _tally(endpoints: Endpoints, folder: Path) -> Any:
    """In a process of its own, which takes the servers from the environment."""
    command = [sys.executable, "-m", "engagement_platform_tests.bench.bench_tally", "--events", str(EVENTS)]
    environment = os.environ | stack.environment(endpoints, folder)
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def _upkeep(_endpoints: Endpoints, folder: Path) -> Any:
    return bench_upkeep.run(folder / "upkeep")


def _print(figures: Any) -> None:
    json.dump(figures, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


BENCHMARKS: dict[str, Callable[[Endpoints, Path], Any]] = {
    "relay": lambda endpoints, _: bench_relay.run(endpoints, EVENTS),
    "tally": _tally,
    "gaps": lambda endpoints, _: bench_gaps.run(endpoints),
    "warehouse": lambda endpoints, _: bench_warehouse.run(endpoints),
    "rebuild": lambda endpoints, _: bench_rebuild.run(endpoints),
    "upkeep": _upkeep,
}


if __name__ == "__main__":
    main()
