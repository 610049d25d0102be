"""The chart, installed in the cluster over the servers beside it: what it is told, who streams, and where."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from engagement_platform_tests.docker.files import REPOSITORY
from engagement_platform_tests.kubernetes.chart import CHART, NAMESPACE, RELEASE
from engagement_platform_tests.kubernetes.cluster import Cluster
from engagement_platform_tests.kubernetes.servers import Servers
from engagement_platform_tests.streaming import wait_for

IMAGE = "docker.io/local/engagement-platform"
WAREHOUSE = "/var/lib/warehouse"
FULL = f"{RELEASE}-engagement-platform"
RUNS = f"engagement-platform/runs-of={RELEASE},dagster/job=engagement_stream"
LOOPS = 4
LEASE_SECONDS = 180
_QUIET_SECONDS = 30
"""So much of a lease has to be left when something happens, so that no planned hand-over answers it."""
_SESSION = """
SELECT host(client_addr), client_port
  FROM pg_stat_activity AS session
  JOIN engagement_platform.stream_loop AS beats ON (backend_pid, beats.backend_start) = (pid, session.backend_start)
 WHERE loop = %s AND awaits = (SELECT max(epoch) FROM engagement_platform.stream_lease)
"""
_KILL = """
import glob, os, sys
ends = [line.split() for line in open("/proc/net/tcp")][1:]
sockets = {f"socket:[{words[9]}]" for words in ends if int(words[1].partition(":")[2], 16) == int(sys.argv[1])}
owners = {int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/fd/*") if os.path.lexists(path)
          and os.readlink(path) in sockets}
(owner,) = owners
os.kill(owner, 9)
"""
"""Kills whoever in a pod has a connection from a port."""
_TOKEN = "0123456789abcdef-page"


@dataclass(frozen=True)
class System:
    """The release."""

    cluster: Cluster
    servers: Servers
    folder: Path
    """For the warehouse, which both nodes share, and for files that tools read."""

    @property
    def table(self) -> Path:
        return self.folder / "warehouse/engagement_events"

    def prepare(self) -> None:
        """Make the namespace, which takes restricted pods alone, the secret and the shared volume."""
        place = self.folder / "warehouse"
        place.mkdir(exist_ok=True)
        place.chmod(0o777)
        secrets = {
            "source_dsn": self.servers.source_dsn, "platform_dsn": self.servers.platform_dsn,
            "redis_url": self.servers.redis_url, "page_token": _TOKEN,
        }  # fmt: skip
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        size = {"storage": "10Gi"}
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": restricted}},
            {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "engagement", "namespace": NAMESPACE},
                "data": {key: base64.b64encode(value.encode()).decode() for key, value in secrets.items()},
            },
            {
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "warehouse"},
                "spec": {
                    "capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": str(place)},
                    "storageClassName": "", "claimRef": {"namespace": NAMESPACE, "name": "warehouse"},
                },
            },
            {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "warehouse", "namespace": NAMESPACE},
                "spec": {
                    "accessModes": ["ReadWriteMany"], "resources": {"requests": size}, "storageClassName": "",
                    "volumeName": "warehouse",
                },
            },
        )  # fmt: skip

    def values(self, tag: str, **others: Any) -> str:
        """Write the values of a release; return the file's path."""
        keys = {"SOURCE_DSN", "PLATFORM_DSN", "REDIS_URL", "PAGE_TOKEN"}
        small = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}}}
        values = {
            "image": {"repository": IMAGE, "tag": tag, "pullPolicy": "Never"},
            "secrets": {f"ENGAGEMENT_{key}": {"secret": "engagement", "key": key.lower()} for key in keys},
            "settings": {
                "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka, "ENGAGEMENT_KAFKA_CLIENT": "librdkafka",
                "ENGAGEMENT_API_URL": self.servers.api_url, "ENGAGEMENT_START": "earliest",
                "ENGAGEMENT_WAREHOUSE_URI": WAREHOUSE, "ENGAGEMENT_WINDOW_SECONDS": 7200,
                "ENGAGEMENT_BUCKET_SECONDS": 60, "ENGAGEMENT_LEASE_SECONDS": LEASE_SECONDS,
                **others.pop("settings", {}),
            },
            "extraVolumes": [{"name": "warehouse", "persistentVolumeClaim": {"claimName": "warehouse"}}],
            "extraVolumeMounts": [{"name": "warehouse", "mountPath": WAREHOUSE}],
            **dict.fromkeys(("codeLocation", "daemon", "webserver", "page", "runs"), small), **others,
        }  # fmt: skip
        file = self.folder / f"values-{tag}.yaml"
        file.write_text(yaml.safe_dump(values))
        return str(file)

    def install(self, tag: str, **others: Any) -> None:
        """Install the chart of a version, or upgrade what is there."""
        source = self.folder / "before" if tag == "before" else REPOSITORY
        chart = str(source / CHART.relative_to(REPOSITORY))
        words = ["upgrade", "--install", RELEASE, chart, "--namespace", NAMESPACE, "--wait", "--timeout=5m"]
        self.cluster.helm(*words, "--values", self.values(tag, **others))

    def streaming_run(self) -> str:
        """Return the run that holds the lease; an empty text before the first."""
        return self._asked("SELECT run_id FROM engagement_platform.stream_lease ORDER BY epoch DESC LIMIT 1")

    def epoch(self) -> int:
        return int(self._asked("SELECT max(epoch) FROM engagement_platform.stream_lease") or 0)

    def spare_is_ready(self) -> bool:
        """Say whether all loops of a run that waits are ready."""
        return (
            int(
                self._asked(
                    "SELECT count(*) FROM engagement_platform.stream_loop"
                    " WHERE ready_at IS NOT NULL AND ended_at IS NULL AND heartbeat_at > now() - interval '2 seconds'"
                    "   AND awaits > (SELECT max(epoch) FROM engagement_platform.stream_lease)"
                )
                or 0
            )
            == LOOPS
        )

    def loops_beat(self) -> int:
        """Return how many loops of the run that holds the lease have beaten within three seconds."""
        return int(
            self._asked(
                "SELECT count(*) FROM engagement_platform.stream_loop WHERE ended_at IS NULL"
                " AND heartbeat_at > now() - interval '3 seconds' AND run_id ="
                " (SELECT run_id FROM engagement_platform.stream_lease ORDER BY epoch DESC LIMIT 1)"
            )
            or 0
        )

    def _asked(self, query: str) -> str:
        try:
            with psycopg.connect(self.servers.platform_dsn) as connection:
                row = connection.execute(query).fetchone()
        except psycopg.errors.UndefinedTable:
            return ""
        return "" if row is None or row[0] is None else str(row[0])

    def run_pods(self, run: str = "") -> list[dict[str, Any]]:
        """Return the pods of streaming runs that have not ended, of all or of one run."""
        found = self.cluster.items("pods", "--namespace", NAMESPACE, "--selector", RUNS)
        return [
            pod
            for pod in found
            if pod["status"]["phase"] in ("Pending", "Running")
            and (not run or pod["metadata"]["labels"].get("dagster/run-id") == run)
        ]

    def streaming_pod(self) -> tuple[str, str]:
        """Return name and node of the pod that streams."""
        (pod,) = [
            each for each in self.run_pods(self.streaming_run()) if "dagster/op" not in each["metadata"]["labels"]
        ]
        return pod["metadata"]["name"], pod["spec"]["nodeName"]

    def kill_loop(self, loop: str) -> None:
        """Kill the process of a loop of the run that streams: whoever in its pod has the session that beats."""
        with psycopg.connect(self.servers.platform_dsn) as connection:
            session = connection.execute(_SESSION, [loop]).fetchone()
        assert session is not None, f"{loop} has no session"
        address, port = session
        (pod,) = [each["metadata"]["name"] for each in self.run_pods() if each["status"].get("podIP") == address]
        self.cluster.kubectl("exec", pod, "--namespace", NAMESPACE, "--", "python", "-c", _KILL, str(port))

    def settle(self, seconds: float = 300) -> None:
        """Wait until all loops stream and a run waits that is ready, by which everything is measured."""
        wait_for(self._is_settled, "a stream with a spare", seconds)

    def _is_settled(self) -> bool:
        has_spare = self.loops_beat() == LOOPS and self.spare_is_ready()
        return has_spare and self.lease_seconds_left() > _QUIET_SECONDS

    def lease_seconds_left(self) -> float:
        """Return for how long the present lease lasts; negative where it is outlived."""
        query = "SELECT extract(epoch FROM ends_at - now()) FROM engagement_platform.stream_lease"
        return float(self._asked(f"{query} ORDER BY epoch DESC LIMIT 1") or 0)

    def explain(self) -> str:
        """Return what is to be known where something was waited for in vain."""
        told = [self.cluster.kubectl("get", "pods", "--namespace", NAMESPACE, "-o", "wide")]
        told.append(
            self.cluster.kubectl("get", "events", "--namespace", NAMESPACE, "--sort-by=.lastTimestamp")[-6_000:]
        )
        told += [
            self.cluster.kubectl("logs", f"deploy/{FULL}-{name}", "--namespace", NAMESPACE, "--tail=60")
            for name in ("daemon", "code")
        ]
        return "\n".join(told)


@contextmanager
def explained(system: System) -> Iterator[None]:
    """Say what the cluster looks like where the block fails."""
    try:
        yield
    except Exception:
        print(system.explain())  # noqa: T201
        raise
