"""All benchmarks in one run, on servers of their own: `make bench`. Prints JSON; ends by itself."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from engagement_platform.local import stack
from engagement_platform_tests.bench import bench_relay

EVENTS = 300_000


def main() -> None:
    """Run each benchmark against the same servers."""
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    folder.chmod(0o755)
    try:
        endpoints = stack.up(folder, use_usual_ports=False)
        json.dump({"relay, catching up": bench_relay.run(endpoints, EVENTS)}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        sys.stdout.flush()
        environment = os.environ | stack.environment(endpoints, folder)
        command = [sys.executable, "-m", "engagement_platform_tests.bench.bench_tally", "--events", str(EVENTS)]
        subprocess.run(command, env=environment, check=True)
    finally:
        stack.reset(folder)


if __name__ == "__main__":
    main()
