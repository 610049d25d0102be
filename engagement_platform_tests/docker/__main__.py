"""Builds the image and brings the compose file up: on a real engine where one can be had, else by hand; says which.

    python -m engagement_platform_tests.docker [--keep FOLDER] [--by-hand [arguments of `docker.up`]]

The engine is Docker's own, from packages (`engine/engine.sh`): it needs root, on Debian. By hand is `docker.up`. What
the engine has built is kept in the folder given, for the next time; else nothing is left but logs when it fails.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engagement_platform_tests.docker import up
from engagement_platform_tests.docker.engine import daemon, images
from engagement_platform_tests.docker.engine.story import Story

_PROGRAMS = Path(__file__).parent / "engine" / "engine.sh"
_GIGABYTES = 15


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(description="Bring the image and the compose file up.")
    parser.add_argument("--by-hand", action="store_true", help="without Docker's engine")
    parser.add_argument("--keep", type=Path, help="keep what the engine has built in this folder")
    given, others = parser.parse_known_args()
    by_hand = given.by_hand
    programs = None if by_hand else _programs()
    why = "it was asked for" if by_hand else images.why_not() or _too_little_space()
    if programs is None or why:
        print(f"By hand, without Docker's engine: {why or 'it needs root, and the packages of Debian'}.")  # noqa: T201
        sys.argv = [sys.argv[0], *others]
        up.main()
    else:
        print("In real containers, by Docker's own engine 26.1.5 from packages.", flush=True)  # noqa: T201
        _in_containers(programs, given.keep)


def _programs() -> Path | None:
    printed = subprocess.run(["sh", str(_PROGRAMS)], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return Path(printed) if printed else None


def _too_little_space() -> str:
    free = shutil.disk_usage(tempfile.gettempdir()).free >> 30
    return "" if free >= _GIGABYTES else f"of {_GIGABYTES} GB of disk that images and containers take, {free} are free"


def _in_containers(programs: Path, kept: Path | None) -> None:
    folder = Path(tempfile.mkdtemp(prefix="engagement-docker-"))
    home = kept.absolute() if kept else folder / "engine"
    report: dict[str, Any] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("It was told to end."))
    try:
        with daemon.running(programs, home) as engine:
            Story(engine, folder, report).tell()
        left = [*daemon.mounts_below(home), *daemon.processes_of(home)]
        assert not left, f"the engine has ended and left {left}"
    except AssertionError as error:
        sys.exit(f"\n{error}\n{json.dumps(report, indent=2)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
