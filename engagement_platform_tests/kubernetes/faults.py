"""What happens to a stream on Kubernetes, one after the other, and for how long each sink stood still meanwhile."""

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psutil

from engagement_platform_tests.kubernetes.chart import NAMESPACE
from engagement_platform_tests.kubernetes.servers import PLATFORM_ADDRESS
from engagement_platform_tests.kubernetes.system import FULL, LEASE_SECONDS, System
from engagement_platform_tests.kubernetes.watch import Watch
from engagement_platform_tests.streaming import wait_for

_SETTLED_SECONDS = 8.0
_SPLIT_SECONDS = 10.0
"""For how long both take themselves for the one that streams, or a run outlives its lease, at least."""


@dataclass(frozen=True)
class Fault:
    """Something that happens. `do` says what undoes it, as soon as there is something to undo."""

    name: str
    do: Callable[[System, ExitStack], None]
    takes_over: bool = True
    """Whether another run streams afterwards."""


def standstill(system: System, watch: Watch, fault: Fault) -> dict[str, object]:
    """Let a fault happen; return how long the slowest marker waited for each sink, in milliseconds."""
    system.settle()
    epoch, began = system.epoch(), time.monotonic()
    with ExitStack() as undo:
        fault.do(system, undo)
        if fault.takes_over:
            wait_for(lambda: system.epoch() > epoch, f"another run to stream after: {fault.name}", 240)
        done = time.monotonic()
        wait_for(lambda: watch.flows(done), f"all sinks to go on after: {fault.name}", 240)
        time.sleep(_SETTLED_SECONDS)
        return figures(fault.name, watch, began - 0.5)


def figures(name: str, watch: Watch, since: float) -> dict[str, object]:
    """Return for how long each sink stood still since a time, and what that is to be read with, in milliseconds.

    `source` is the longest pause between two markers, which are written beside the platform every 50 ms: what is not
    the platform's but the machine's. So is the load.
    """
    worst = {"source": watch.pause(since), **watch.worst(since)}
    load, *_ = os.getloadavg()
    return {"fault": name, "load": round(load), **{each: round(1_000 * seconds) for each, seconds in worst.items()}}


def _nothing(_system: System, _undo: ExitStack) -> None:
    """Let time pass: what all other figures are to be read against."""
    time.sleep(_SETTLED_SECONDS)


def _hand_over(system: System, _undo: ExitStack) -> None:
    """Wait until the lease ends and the run that waits takes over."""
    epoch = system.epoch()
    wait_for(lambda: system.epoch() > epoch, "a planned hand-over", 2 * LEASE_SECONDS)


def _delete(*words: str) -> Callable[[System, ExitStack], None]:
    """Return what deletes the pod that streams."""

    def delete(system: System, _undo: ExitStack) -> None:
        name, _ = system.streaming_pod()
        system.cluster.kubectl("delete", "pod", name, "--namespace", NAMESPACE, "--wait=false", *words)

    return delete


def _kill_loop(loop: str) -> Callable[[System, ExitStack], None]:
    """Return what kills the process of one loop of the run that streams, beside its siblings."""

    def kill(system: System, _undo: ExitStack) -> None:
        system.kill_loop(loop)

    return kill


def _kill(system: System, _undo: ExitStack) -> None:
    """Kill all processes of the pod, but the one that holds its namespaces, whose user is another."""
    name, _ = system.streaming_pod()
    command = ["exec", name, "--namespace", NAMESPACE, "--", "sh", "-c", "kill -9 -1"]
    with suppress(AssertionError):  # the pod ends with what is executed in it
        system.cluster.kubectl(*command)


def _evict(system: System, _undo: ExitStack) -> None:
    """Ask for it until the disruption budget allows it, as whoever drains a node does."""
    name, _ = system.streaming_pod()
    wait_for(lambda: _may_evict(system, name), "the disruption budget to let the pod go", 120)


def _may_evict(system: System, name: str) -> bool:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    try:
        system.cluster.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))
    except AssertionError as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


def _drain(system: System, undo: ExitStack) -> None:
    _, node = system.streaming_pod()
    undo.callback(system.cluster.kubectl, "uncordon", node)
    words = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s", "--force"]
    system.cluster.kubectl("drain", node, *words, seconds=300)


def _lose_node(system: System, undo: ExitStack) -> None:
    """Kill the kubelet of the node that streams: Kubernetes sees its pod no more, which goes on and holds the lease."""
    _, node = system.streaming_pod()
    _lose(system, undo, node)
    wait_for(lambda: not _is_ready(system, node), f"{node} to be missed", 60)


def _lose(system: System, undo: ExitStack, node: str) -> None:
    undo.callback(_find_node, system, node)
    system.cluster.kill_kubelet(node)


def _split(system: System, undo: ExitStack) -> None:
    """Kill the kubelet of the node that streams, and cut its pod off from the platform's database alone.

    It reaches source, Kafka, Redis, partner and warehouse still and takes itself for the one that streams; nobody can
    end it. Another run takes over, and from then on it may write nothing.
    """
    name, node = system.streaming_pod()
    (pod,) = [each for each in system.run_pods() if each["metadata"]["name"] == name]
    run, epoch = system.streaming_run(), system.epoch()
    rule = ["FORWARD", "--source", pod["status"]["podIP"], "--destination", PLATFORM_ADDRESS, "--jump", "DROP"]
    if node == "node1":  # where the servers are
        rule[0] = "INPUT"
    _lose(system, undo, node)
    undo.callback(system.cluster.in_network_of, node, ["iptables", "--delete", *rule])
    system.cluster.in_network_of(node, ["iptables", "--insert", *rule])
    wait_for(lambda: system.epoch() > epoch, "another run to stream", 120)
    time.sleep(_SPLIT_SECONDS)
    assert _lives(run), "the old run has ended, so nothing was split"


def _lives(run: str) -> bool:
    """Say whether a process of a run's pod lives, whatever Kubernetes knows of it."""
    return any(run in word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ())


def _find_node(system: System, node: str) -> None:
    system.cluster.revive(node)
    wait_for(lambda: _is_ready(system, node), f"{node} to be back", 120)


def _is_ready(system: System, node: str) -> bool:
    (found,) = [each for each in system.cluster.items("nodes") if each["metadata"]["name"] == node]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"]["conditions"])


def _roll(system: System, _undo: ExitStack) -> None:
    """Replace the code location, as an upgrade does, while the runs go on."""
    deployment = f"deployment/{FULL}-code"
    system.cluster.kubectl("rollout", "restart", deployment, "--namespace", NAMESPACE)
    system.cluster.kubectl("rollout", "status", deployment, "--namespace", NAMESPACE, "--timeout=180s")


def _without_daemon(system: System, undo: ExitStack) -> None:
    """Take the daemon away until the last run that it has launched outlives its lease: nobody launches the next."""
    undo.callback(_scale, system, 1)
    _scale(system, 0)
    wait_for(lambda: system.lease_seconds_left() < -_SPLIT_SECONDS, "a lease to be outlived", 3 * LEASE_SECONDS)


def _scale(system: System, replicas: int) -> None:
    deployment = f"deployment/{FULL}-daemon"
    system.cluster.kubectl("scale", deployment, "--namespace", NAMESPACE, f"--replicas={replicas}")


FAULTS = {
    "nothing": Fault("nothing", _nothing, takes_over=False),
    "hand-over": Fault("hand-over between pods", _hand_over, takes_over=False),
    "relay-killed": Fault("process of the relay killed", _kill_loop("relay"), takes_over=False),
    "tally-killed": Fault("process of the tally killed", _kill_loop("tally"), takes_over=False),
    "deleted": Fault("pod deleted, with its grace period", _delete()),
    "killed": Fault("all processes of the pod killed", _kill),
    "node-lost": Fault("node lost, its pod goes on running", _lose_node),
    "split": Fault("the same, and its pod is cut off from the lease", _split),
    "drained": Fault("node drained", _drain),
    "evicted": Fault("pod evicted", _evict),
    "forced": Fault("pod deleted at once, by force", _delete("--grace-period=0", "--force")),
    "rolled": Fault("code location replaced", _roll, takes_over=False),
    "no-daemon": Fault("daemon away until a lease is outlived", _without_daemon, takes_over=False),
}
"""By the names by which the command line chooses."""
