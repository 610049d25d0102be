"""The cluster of `cluster.sh`, and what is asked of it."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("cluster.sh")
ADDRESS = "10.244.255.1"
"""Where servers beside the cluster are reached from its pods: the first node."""
_BESIDE = Path("/sys/fs/cgroup/cpu/kube/beside/cgroup.procs")


@dataclass(frozen=True)
class Cluster:
    """A cluster in a folder of its own, by programs that were built before."""

    programs: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the script takes from the environment."""
        return {
            **os.environ,
            "K": str(self.folder),
            "BIN": str(self.programs / "bin"),
            "CNI": str(self.programs / "root/usr/lib/cni"),
            "PAUSE": str(self.programs / "images/pause.tar"),
        }

    def do(self, *words: str, seconds: float = 300) -> str:
        """Run a command of the script; return what it prints. Raises AssertionError with what it says."""
        done = subprocess.run(
            ["bash", str(SCRIPT), *words], env=self.environment, capture_output=True, text=True, timeout=seconds,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done.stdout

    def join(self) -> None:
        """Let this process and what it starts have their part of the processor with the cluster, not beside it."""
        _BESIDE.write_text(str(os.getpid()))

    def kubectl(self, *words: str, given: str | None = None, seconds: float = 300) -> str:
        """Run kubectl as the administrator; return what it prints. Raises AssertionError with what it says."""
        command = [
            "nsenter", "--net=/run/netns/kube1", str(self.programs / "bin/kubectl"),
            f"--kubeconfig={self.folder / 'conf/admin.kubeconfig'}", *words,
        ]  # fmt: skip
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done.stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", given="\n---\n".join(map(json.dumps, manifests)))

    def items(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *words))["items"]
        return found

    def helm(self, *words: str, seconds: float = 400) -> str:
        """Run helm; return what it prints. Raises AssertionError with what it says."""
        command = ["nsenter", "--net=/run/netns/kube1", str(self.programs / "bin/helm"), *words]
        environment = {**os.environ, "KUBECONFIG": str(self.folder / "conf/admin.kubeconfig")}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"helm {' '.join(words)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done.stdout

    def kill_kubelet(self, node: str) -> None:
        """End a node's kubelet at once: its pods go on, and nobody can end them any more."""
        os.kill(int((self.folder / f"run/{node}-kubelet.pid").read_text()), signal.SIGKILL)

    def revive(self, node: str) -> None:
        self.do("revive", node.removeprefix("node"))

    def in_network_of(self, node: str, command: Sequence[str]) -> None:
        """Run a command, such as iptables, in the network of a node."""
        subprocess.run(
            ["nsenter", f"--net=/run/netns/kube{node.removeprefix('node')}", *command],
            env={**os.environ, "PATH": f"{self.programs / 'bin'}:{os.environ['PATH']}"}, check=True,
        )  # fmt: skip
