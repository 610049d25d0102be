"""Installs the chart in a real cluster of two nodes and streams there, while what happens to clusters happens.

    python -m engagement_platform_tests.kubernetes [--only FAULT,...] [--executor pods] [--before COMMIT]

Prints a report in JSON: for how long each sink stood still at each fault, in milliseconds, and what was lost and
doubled. Exits 1 where something was. Needs root; `programs.sh` makes the programs. Leaves nothing behind.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engagement_platform.local.kafka import class_path
from engagement_platform_tests.docker.files import REPOSITORY
from engagement_platform_tests.kubernetes import image, servers
from engagement_platform_tests.kubernetes.chart import NAMESPACE, RELEASE
from engagement_platform_tests.kubernetes.cluster import Cluster
from engagement_platform_tests.kubernetes.faults import FAULTS, figures, standstill
from engagement_platform_tests.kubernetes.system import IMAGE, System, explained
from engagement_platform_tests.kubernetes.watch import SINKS, Watch
from engagement_platform_tests.streaming import wait_for

MIGRATIONS = "engagement_platform/adapters/platform/migrations/*.sql"
STEPS = ("upgrade", "rollback", "uninstall")


def main() -> None:
    """Bring the cluster up and down around what is done in its network."""
    parser = argparse.ArgumentParser(description="Try the chart in a real cluster.")
    parser.add_argument("--programs", type=Path, required=True, help="what programs.sh has printed")
    parser.add_argument("--only", default=",".join([*FAULTS, *STEPS]), help="these faults and steps, comma-separated")
    parser.add_argument("--executor", choices=("processes", "pods"), default="processes")
    parser.add_argument("--before", help="a commit, which is installed first; else the last one with other tables")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        report = _inside(Cluster(given.programs, given.inside), given.only.split(","), given.executor)
        print(json.dumps(report, indent=2))  # noqa: T201
        sys.exit(int(_is_bad(report)))
    if os.geteuid() != 0:
        sys.exit("A cluster needs root.")
    sys.exit(_around(given.programs, given.before or _version_before()))


def _around(programs: Path, before: str) -> int:
    class_path()  # from here: in the cluster's network there is no way out
    images = programs / "images"
    image.pause_image(images)
    folder = Path(tempfile.mkdtemp(prefix="engagement-kubernetes-", dir="/var/tmp"))
    folder.chmod(0o755)
    cluster = Cluster(programs, folder)
    began = time.monotonic()
    try:
        sources = {"before": _checkout(before, folder / "before"), "present": REPOSITORY}
        archive = image.project_images(images, {f"{IMAGE}:{tag}": source for tag, source in sources.items()})
        _say(f"The images are made after {time.monotonic() - began:.0f} s.")
        cluster.do("up")
        cluster.do("node", "2")
        _say(f"The cluster is up after {time.monotonic() - began:.0f} s.")
        cluster.do("load", str(archive), seconds=900)
        _say(f"The images are loaded after {time.monotonic() - began:.0f} s.")
        itself = [sys.executable, "-m", __package__, *sys.argv[1:], "--inside", str(folder)]
        return subprocess.run(["nsenter", "--net=/run/netns/kube1", *itself], check=False).returncode
    finally:
        cluster.do("down")
        shutil.rmtree(folder, ignore_errors=True)


def _checkout(commit: str, folder: Path) -> Path:
    """Return a folder with the files of a commit."""
    folder.mkdir()
    files = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract"], cwd=folder, input=files, check=True)
    return folder


def _version_before() -> str:
    """Return the last commit whose tables were others: going on and back between the two means most."""
    words = ["git", "log", "-1", "--format=%H^", "--diff-filter=A", "--", MIGRATIONS]
    return subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)  # noqa: T201


def _inside(cluster: Cluster, chosen: list[str], executor: str) -> dict[str, Any]:
    cluster.join()
    place = cluster.folder / "servers"
    place.mkdir()
    place.chmod(0o755)
    with servers.up(place) as there:
        system = System(cluster, there, cluster.folder)
        system.prepare()
        with explained(system):
            return _streamed(system, chosen, executor)


def _streamed(system: System, chosen: list[str], executor: str) -> dict[str, Any]:
    report: dict[str, Any] = {"executor": executor, "faults": []}
    first = "before" if "upgrade" in chosen else "present"
    report["seconds_to_install"] = _took(lambda: system.install(first, streamExecutor=executor))
    with Watch(system.servers, system.table).running() as watch:
        began = time.monotonic()
        wait_for(lambda: watch.flows(began), "the first markers in all sinks", 300)
        report["seconds_until_all_sinks_had_the_first_event"] = round(time.monotonic() - began, 1)
        system.settle()
        _say(json.dumps(report))
        for name in ("upgrade", *FAULTS, "rollback", "uninstall"):  # what happens, happens to the present version
            if name in chosen:
                report["faults"].append(_tried(system, watch, name, executor))
                _say(json.dumps(report["faults"][-1]))
        watch.end_writing()
        for sink in SINKS:
            wait_for(lambda sink=sink: not watch.missing(sink), f"the last markers in {sink}", 120)  # type: ignore[misc]
        report["verdict"] = watch.verdict()
    report["seconds_to_uninstall"] = _took(lambda: _uninstall(system))
    return report


def _tried(system: System, watch: Watch, name: str, executor: str) -> dict[str, object]:
    """Let something happen; return its figures, or why there are none: what comes after can be tried all the same."""
    try:
        return standstill(system, watch, FAULTS[name]) if name in FAULTS else _step(system, watch, name, executor)
    except Exception as error:
        return {"fault": name, "failed": f"{type(error).__name__}: {error}"}


def _step(system: System, watch: Watch, step: str, executor: str) -> dict[str, object]:
    """Do what helm does to a release that streams; return for how long each sink stood still."""
    began = time.monotonic()
    match step:
        case "upgrade":
            system.install("present", streamExecutor=executor)
        case "rollback":
            system.cluster.helm("rollback", RELEASE, "1", "--namespace", NAMESPACE, "--wait", "--timeout=5m")
        case "uninstall":
            _uninstall(system)
            system.install("present", streamExecutor=executor)
    done = time.monotonic()
    wait_for(lambda: watch.flows(done), f"all sinks to go on after: {step}", 240)
    system.settle()
    return figures(f"helm {step}", watch, began)


def _uninstall(system: System) -> None:
    """Uninstall the release, which ends its runs; nothing of it may be left."""
    system.cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=5m")
    left = [
        f"{kind} {each['metadata']['name']}"
        for kind in ("deployments", "jobs", "roles", "rolebindings", "networkpolicies", "poddisruptionbudgets")
        for each in system.cluster.items(kind, "--namespace", NAMESPACE)
    ]
    assert not left, left
    assert not system.run_pods()


def _took(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return round(time.monotonic() - began, 1)


def _is_bad(report: dict[str, Any]) -> bool:
    if any("failed" in each for each in report["faults"]):
        return True
    return any(each["lost"] or each["doubled"] or each["unknown"] for each in report["verdict"].values())


if __name__ == "__main__":
    main()
