"""The embedded local stack: real servers from package registries, on loopback, in one state folder."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import httpbin, kafka, postgres, state, valkey
from engagement_platform.local.server import Server
from engagement_platform.local.state import StackState
from engagement_platform.orchestration.instance import home_of

USUAL_PORTS = {**postgres.USUAL_PORTS, **kafka.USUAL_PORTS, **valkey.USUAL_PORTS, **httpbin.USUAL_PORTS}
_PORT_TRIES = 5
_IN_USE = ("address already in use", "address in use")
LAYERS = ("postgres", "kafka", "valkey", "httpbin")


Shown = Callable[[str, str], AbstractContextManager[None]]
"""Takes who works at what, and shows that while the block runs; from several threads."""


def unseen(_name: str, _what: str) -> AbstractContextManager[None]:
    """Show nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers answer. The addresses hold passwords: never log them."""

    source_dsn: str
    writer_dsn: str
    admin_dsn: str
    platform_dsn: str
    kafka_bootstrap_servers: str
    redis_url: str
    api_url: str


def up(folder: Path, shown: Shown = unseen, *, durable: bool = True, use_usual_ports: bool = True) -> Endpoints:
    """Start what does not run yet, and return when all of it answers.

    The data survives; after a kill of everything the servers recover by themselves. Raises EngagementError.
    """
    with state.exclusive(folder.absolute(), "up"), _readable_errors(folder):
        stack = state.load(folder)
        stack.durable = durable
        _choose_ports(stack, use_usual_ports=use_usual_ports)
        for owner in ("postgres", "media_owner", "engagement_reader", "engagement_platform", "valkey"):
            stack.password(owner)
        stack.save()
        if "kafka" in [server.name for server in servers(stack) if not server.daemon.is_running]:
            with shown("download", "Apache Kafka, at the first start"):
                kafka.class_path()
        with ThreadPoolExecutor(len(LAYERS)) as pool:
            for _ in pool.map(lambda server: _start(server, stack, shown), servers(stack)):
                pass
    return endpoints(folder)


def _start(server: Server, stack: StackState, shown: Shown) -> None:
    """Start a server; on other ports when another program took one between the choice and the start."""
    with shown(server.name, "starting"):
        for tries in range(_PORT_TRIES):
            try:
                server.start()
                return
            except EngagementError:
                if tries == _PORT_TRIES - 1 or not _was_taken(server, stack):
                    raise
                for name in server.ports:
                    stack.ports[name] = state.choose_port(None, None)
                stack.save()


def _was_taken(server: Server, stack: StackState) -> bool:
    """Say whether the server ended because another one has its port."""
    if server.daemon.is_running:
        return False
    return any(not state.is_free(stack.ports[name]) for name in server.ports) or any(
        text in server.daemon.log_tail().lower() for text in _IN_USE
    )


def _choose_ports(stack: StackState, *, use_usual_ports: bool) -> None:
    for server in servers(stack):
        if not server.daemon.is_running:
            for name in server.ports:
                usual = USUAL_PORTS[name] if use_usual_ports else None
                stack.ports[name] = state.choose_port(stack.ports.get(name), usual)


def servers(stack: StackState) -> list[Server]:
    """Return all servers of a state folder."""
    return [postgres.Postgres(stack), kafka.Kafka(stack), valkey.Valkey(stack), httpbin.Httpbin(stack)]


def down(folder: Path) -> None:
    """Stop all servers, cleanly and at the same time; the data stays."""
    if not folder.exists():
        return
    with state.exclusive(folder.absolute(), "up"):
        _stop(state.load(folder))


def _stop(stack: StackState) -> None:
    with ThreadPoolExecutor(len(LAYERS)) as pool:
        for _ in pool.map(lambda server: server.daemon.stop(server.stop_signal), servers(stack)):
            pass


def reset(folder: Path) -> None:
    """Stop all servers and delete everything. Raises EngagementError when the folder is not a stack's."""
    if not folder.exists():
        return
    state.load_to_delete(folder)  # before the lock, which would leave a file in a folder that is not ours
    with state.exclusive(folder.absolute(), "up"):
        stack = state.load_to_delete(folder)
        _stop(stack)
        stack.delete()


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    """Turn what the system refuses, such as space on a full disk, into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise state.unusable(folder.absolute(), error) from error


def endpoints(folder: Path) -> Endpoints:
    """Return where the servers of a folder answer."""
    stack = state.load(folder)
    database = postgres.Postgres(stack)
    return Endpoints(
        source_dsn=database.url(postgres.READER, postgres.SOURCE),
        writer_dsn=database.url(postgres.OWNER, postgres.SOURCE),
        admin_dsn=database.url("postgres", "postgres"),
        platform_dsn=database.url(postgres.PLATFORM, postgres.PLATFORM),
        kafka_bootstrap_servers=kafka.Kafka(stack).bootstrap_servers,
        redis_url=valkey.Valkey(stack).url,
        api_url=httpbin.Httpbin(stack).url,
    )


def environment(addresses: Endpoints, folder: Path) -> dict[str, str]:
    """Return the environment variables with which any program reaches the stack."""
    return {
        "ENGAGEMENT_SOURCE_DSN": addresses.source_dsn,
        "ENGAGEMENT_PLATFORM_DSN": addresses.platform_dsn,
        "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
        "ENGAGEMENT_REDIS_URL": addresses.redis_url,
        "ENGAGEMENT_API_URL": addresses.api_url,
        "ENGAGEMENT_LOCAL_WRITER_DSN": addresses.writer_dsn,
        "ENGAGEMENT_STATE_DIR": str(folder.absolute()),
        # The local source is new: its whole history is wanted.
        "ENGAGEMENT_START": "earliest",
        "DAGSTER_HOME": str(home_of(Path.cwd(), folder.absolute())),
    }


def write_environment(variables: Mapping[str, str], folder: Path) -> Path:
    """Write the variables to `local.env`, for `set -a; . .engagement/local.env`. Holds passwords: private."""
    file = folder / "local.env"
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
    state.write_private(
        file, "# The local stack. Load it with: set -a; . .engagement/local.env; set +a\n" + "".join(lines)
    )
    return file
