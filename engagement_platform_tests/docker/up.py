"""Builds the image and brings the demo up as compose would, without Docker, until events are where they belong.

    python -m engagement_platform_tests.docker.up [--installed] [--only SERVICE,...]

Prints a report in JSON; exits 1 with the reason when something is not as it should be. Leaves nothing behind, but for
logs when it fails. `scratch` says what stands in for Docker.
"""

import argparse
import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg

from engagement_platform.adapters.redis.views import Views
from engagement_platform.local.kafka import class_path
from engagement_platform.settings import Settings
from engagement_platform_tests.docker import scratch
from engagement_platform_tests.docker.files import Service, image, services
from engagement_platform_tests.docker.machine import Machine, wait_for

_EVENTS = 1_000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_REFUSED = ("Read-only file system", "Permission denied", "EROFS", "EACCES")


def main() -> None:
    """Do it, in worlds of their own: one with the network to build in, one with nothing but loopback to run in."""
    parser = argparse.ArgumentParser(description="Bring the image and the compose file up without Docker.")
    parser.add_argument("--installed", action="store_true", help="use this environment's packages: no pip")
    parser.add_argument("--only", default="", help="these services alone, comma-separated")
    parser.add_argument("--inside", choices=("build", "run"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside == "build":
        scratch.build(given.folder, installed=given.installed)
    elif given.inside == "run":
        print(json.dumps(_run(given.folder, _chosen(given.only)), indent=2))  # noqa: T201
    else:
        _both(sys.argv[1:], "kafka" in _chosen(given.only))


def _both(arguments: list[str], with_kafka: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="engagement-image-"))
    folder.chmod(0o755)
    if with_kafka:
        (folder / "jars").write_text(class_path())
    itself = [sys.executable, "-m", __spec__.name, *arguments, "--folder", str(folder), "--inside"]
    try:
        for what, world in (("build", []), ("run", ["--net"])):
            subprocess.run([*scratch.OWN_WORLD, *world, *itself, what], check=True)
    except subprocess.CalledProcessError:
        sys.exit(f"Failed; the logs are in {folder}/logs.")
    shutil.rmtree(folder)


def _chosen(only: str) -> dict[str, Service]:
    found = services("demo")
    if not only:
        return found
    names = only.split(",")
    return {
        name: Service(name, {**found[name].raw, "depends_on": _among(found[name].raw.get("depends_on", {}), names)})
        for name in names
    }


def _among(needs: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: need for name, need in needs.items() if name in names}


def _run(folder: Path, found: dict[str, Service]) -> dict[str, Any]:
    _loopback_up()
    jars = folder / "jars"
    report: dict[str, Any] = {"image_megabytes": _megabytes(folder)}
    with scratch.mounted(folder / image().name) as root:
        machine = Machine(root, folder, jars.read_text() if jars.exists() else "")
        try:
            report["seconds_until_healthy"] = machine.up(found)
            _check(machine, found, report)
            report["memory_megabytes"] = machine.megabytes()
        finally:
            report["exit_codes"] = machine.end()
        report["refused_writes"] = sorted(
            {line for name in found for line in machine.log(name).splitlines() if any(no in line for no in _REFUSED)}
        )
    assert not report["refused_writes"], report["refused_writes"]
    # Java ends with 143 when it was asked to; whatever had to be killed has 137.
    assert set(report["exit_codes"].values()) <= {0, 143}, report["exit_codes"]
    return report


def _loopback_up() -> None:
    """Do what `ip link set lo up` does, which not every machine has."""
    up = struct.pack("16sH14x", b"lo", _IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, up)


def _megabytes(folder: Path) -> int:
    """Return what the image adds to that of Python."""
    done = subprocess.run(["du", "-sm", folder / image().name / "u/opt"], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


def _check(machine: Machine, found: dict[str, Service], report: dict[str, Any]) -> None:
    passwords = machine.folder / "volumes" / "passwords"
    with psycopg.connect(_here(passwords / "source_dsn"), autocommit=True) as source:
        _check_rights(source)
        if "generator" in found:
            wait_for(lambda: _committed(source) >= _EVENTS, f"{_EVENTS} events in the source")
            report["events_in_source"] = _committed(source)
    if "daemon" in found:
        report["seconds_until_events_in_redis"] = _check_stream(machine, passwords)
    if "receiver" in found and "daemon" in found:
        wait_for(lambda: _receiver()["events"] >= _EVENTS, f"{_EVENTS} events at the partner")
    if "receiver" in found:
        report["receiver"] = _receiver()
        assert report["receiver"]["unsigned"] == report["receiver"]["malformed"] == 0, report["receiver"]


def _receiver() -> dict[str, Any]:
    with urlopen("http://127.0.0.1:8082/state") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _check_rights(source: psycopg.Connection) -> None:
    """The platform's role may read the source and change nothing there."""
    _committed(source)
    for statement in ("INSERT INTO engagement_events (event_ts) VALUES (now())", "CREATE TABLE own (id int)"):
        try:
            source.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            continue
        raise AssertionError(f"the reader may do this: {statement}")


def _check_stream(machine: Machine, passwords: Path) -> float:
    began = time.monotonic()
    values = {name: _here(passwords / name) for name in ("source_dsn", "platform_dsn", "redis_url")}
    with closing(Views.connect(Settings.of(**values))) as views:
        wait_for(lambda: views.totals().count >= _EVENTS, f"{_EVENTS} events in Redis")
    seconds = time.monotonic() - began
    warehouse = machine.folder / "volumes" / "warehouse"
    wait_for(lambda: any(warehouse.rglob("*.parquet")), "a file in the warehouse")
    return round(seconds, 1)


def _committed(source: psycopg.Connection) -> int:
    row = source.execute("SELECT count(*) FROM engagement_events").fetchone()
    return row[0] if row else 0


def _here(file: Path) -> str:
    """Return an address of the compose network as it is reached from outside the containers."""
    before, _, after = file.read_text().rpartition("@")
    return f"{before}@127.0.0.1:{after.partition(':')[2]}"


if __name__ == "__main__":
    main()
