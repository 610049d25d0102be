"""The servers that tests use: real ones, started once, with a database, topics and keys of its own for each test."""

import gc
import importlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psutil
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from engagement_platform.adapters import batch_log
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.local import stack as local_stack
from engagement_platform.local.generator.source_tables import create_source_tables
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings, variable
from engagement_platform_tests import broker, whole_files
from engagement_platform_tests.kafka_classes import learn
from engagement_platform_tests.order import may_break_servers, order_of, scope_of
from engagement_platform_tests.shell import forget
from engagement_platform_tests.streams import PACKAGED
from engagement_platform_tests.whole_files import WholeFiles

forget(os.environ)

KAFKA_CLIENT = os.environ.get("ENGAGEMENT_TEST_KAFKA_CLIENT", "kafka-python")
"""The client of Kafka that all tests use which do not name one."""

# How long an example takes says nothing on a machine that does other things, too.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

SERVER_FIXTURES = {
    "stack",
    "source_db",
    "platform_db",
    "empty_platform_db",
    "settings",
    "own_stack",
    "own_stack_folder",
}


def pytest_configure(config: pytest.Config) -> None:
    """A shell's `pytest … &` lets it ignore SIGINT, and every program that a test starts and interrupts would, too."""
    if getattr(config, "workerinput", {}).get("whole_files"):
        config.pluginmanager.register(WholeFiles())
        # As where all files are imported first: what Dagster is told at import, such as the first day, comes from the
        # session's environment, and not from that of the test which happens to import it.
        importlib.import_module("engagement_platform.definitions")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Let Python's collector leave alone what stays anyway: thousands of tests and all that they import."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
        if item.get_closest_marker("newcomer") and "ENGAGEMENT_TEST_NEWCOMER" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="make test-newcomer types it"))
        if item.get_closest_marker("whole") and "ENGAGEMENT_TEST_WHOLE" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="make test-whole runs it"))
    items.sort(key=order_of)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, as `--dist loadfile` does, and some files together to one, one after another."""
    from xdist.scheduler import LoadFileScheduling

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = scope_of
    return scheduling


def reachable_folder(memory: Path | None = None) -> Path:
    """A folder that PostgreSQL's user can reach where the tests run as root; those of pytest are private."""
    folder = Path(tempfile.mkdtemp(prefix="engagement-tests-", dir=memory))
    folder.chmod(0o755)
    return folder


def servers_folder() -> Path:
    """Such a folder for servers: in memory where there is plenty, since databases are copied there for far less."""
    return reachable_folder(MEMORY if _has_plenty_of_memory() else None)


MEMORY = Path("/dev/shm")
_PLENTY = 8_000_000_000
"""Bytes: what the servers of a session keep is one of them, and its processes take four."""


def _has_plenty_of_memory() -> bool:
    if not os.access(MEMORY, os.W_OK):
        return False
    return min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) >= _PLENTY


@pytest.fixture(autouse=True)
def level_as_before() -> Iterator[None]:
    """A run of Dagster sets the level of the loggers that it manages, and leaves it to what follows in the process."""
    logger = logging.getLogger("engagement_platform")
    before = logger.level
    yield
    logger.setLevel(before)


BROKER = pytest.StashKey[Path]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process of the session where the Kafka of all of them is, and whether the names of files suffice."""
    if BROKER not in node.config.stash:
        node.config.stash[BROKER] = servers_folder()
    node.workerinput["broker"] = str(node.config.stash[BROKER])
    node.workerinput["whole_files"] = whole_files.suffice(node.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End that Kafka behind all processes."""
    if BROKER in config.stash:
        _end_servers(config.stash[BROKER])
        shutil.rmtree(config.stash[BROKER], ignore_errors=True)


@pytest.fixture(scope="session")
def stack_folder() -> Path:
    return servers_folder()


@pytest.fixture(scope="session")
def stack(stack_folder: Path, request: pytest.FixtureRequest) -> Iterator[Endpoints]:
    """The servers that all tests share. A test that breaks a server uses `own_stack`."""
    shared = getattr(request.config, "workerinput", {}).get("broker")
    if shared is not None:
        broker.join(Path(shared), stack_folder)
    try:
        yield local_stack.up(stack_folder, durable=False, use_usual_ports=False)
    finally:
        if shared is not None:
            broker.leave(stack_folder)
        local_stack.reset(stack_folder)


OWN_STACK = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def own_stack_folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of servers that tests may kill, freeze and start again (`local.stack.server`)."""
    learn()
    folder = request.session.stash[OWN_STACK] = servers_folder()
    yield folder
    _end_servers(folder)  # where the session has stopped before its last test


def _end_servers(folder: Path) -> None:
    if (folder / "stack.json").exists():
        local_stack.reset(folder)


@pytest.fixture
def own_stack(own_stack_folder: Path) -> Endpoints:
    """The servers of that folder; every test finds them running, with what other tests have left in them."""
    return local_stack.up(own_stack_folder, durable=False, use_usual_ports=False)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the servers that tests may break as soon as the next test has no use for them: idle ones cost, too."""
    folder = item.session.stash.get(OWN_STACK, None)
    if folder is not None and not may_break_servers(nextitem):
        _end_servers(folder)


@dataclass(frozen=True)
class SourceDatabase:
    """A media company's database of one test."""

    dsn: str
    """As the role that may only read."""
    writer_dsn: str
    """As the owner of the tables."""
    admin_dsn: str


def _with_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


Fill = Callable[[str], None]
"""What fills a database once, for all that are copies of it; it gets the server's name of the database."""


def _create_database(endpoints: Endpoints, owner: str, fill: Fill | None = None) -> str:
    """Create a database: an empty one, or a copy of one that was filled before, for a third of the processor's time."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(endpoints.admin_dsn, autocommit=True) as admin:
        if fill is None:
            _copy_database(admin, "template1", name, owner)
            return name
        try:
            _copy_database(admin, f"filled_for_{owner}", name, owner)
        except psycopg.errors.InvalidCatalogName:  # the first on this server
            _copy_database(admin, "template1", name, owner)
            fill(name)
            admin.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(name), sql.Identifier(f"filled_for_{owner}")
                )
            )
            _copy_database(admin, f"filled_for_{owner}", name, owner)
    return name


def _copy_database(admin: psycopg.Connection, template: str, name: str, owner: str) -> None:
    """Copy files: without fsync that is quicker than the usual way through the log."""
    statement = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy"
    admin.execute(sql.SQL(statement).format(*map(sql.Identifier, (name, owner, template))))


def _drop_database(endpoints: Endpoints, name: str) -> None:
    with psycopg.connect(endpoints.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def make_source(endpoints: Endpoints) -> tuple[str, SourceDatabase]:
    name = _create_database(
        endpoints, "media_owner", lambda name: create_source_tables(_with_database(endpoints.writer_dsn, name))
    )
    source = SourceDatabase(
        dsn=_with_database(endpoints.source_dsn, name),
        writer_dsn=_with_database(endpoints.writer_dsn, name),
        admin_dsn=_with_database(endpoints.admin_dsn, name),
    )
    return name, source


def origin(dsn: str) -> Origin:
    """Return where the packaged stream's events come from, on some server."""
    return Origin(dsn, PACKAGED)


def make_settings(endpoints: Endpoints, source_dsn: str, platform_dsn: str, **changes: object) -> Settings:
    """Settings whose topics and keys no other test shares."""
    own = secrets.token_hex(4)
    values: dict[str, object] = {
        "source_dsn": SecretStr(source_dsn),
        "platform_dsn": SecretStr(platform_dsn),
        "kafka_bootstrap_servers": endpoints.kafka_bootstrap_servers,
        "redis_url": SecretStr(endpoints.redis_url),
        "topic": f"events-{own}",
        "checkpoint_topic": f"checkpoint-{own}",
        "dead_letter_topic": f"dead-letters-{own}",
        "replay_topic": f"replay-{own}",
        "redis_namespace": f"test-{own}",
        "start": "earliest",
        "state_dir": Path(tempfile.gettempdir()) / f"engagement-test-{own}",
        "kafka_client": KAFKA_CLIENT,
    }
    return Settings.of(**values | changes)


@pytest.fixture
def source_db(stack: Endpoints) -> Iterator[SourceDatabase]:
    name, source = make_source(stack)
    yield source
    _drop_database(stack, name)


@pytest.fixture
def platform_db(stack: Endpoints) -> Iterator[str]:
    """A database with the platform's schema, as every start but the first finds it."""

    def fill(name: str) -> None:
        ensure_schema(make_settings(stack, "postgresql://unused", _with_database(stack.platform_dsn, name)))

    name = _create_database(stack, "engagement_platform", fill)
    yield _with_database(stack.platform_dsn, name)
    _drop_database(stack, name)


@pytest.fixture
def empty_platform_db(stack: Endpoints) -> Iterator[str]:
    name = _create_database(stack, "engagement_platform")
    yield _with_database(stack.platform_dsn, name)
    _drop_database(stack, name)


@pytest.fixture
def settings(stack: Endpoints, source_db: SourceDatabase, platform_db: str) -> Iterator[Settings]:
    made = make_settings(stack, source_db.dsn, platform_db)
    yield made
    shutil.rmtree(made.state_dir, ignore_errors=True)


@pytest.fixture
def batch_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    """The lines of batches, which are logged."""
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", kept.append)
    batch_log.log.addHandler(handler)
    batch_log.log.setLevel(logging.INFO)
    yield kept
    batch_log.log.setLevel(logging.CRITICAL)
    batch_log.log.removeHandler(handler)


@pytest.fixture
def in_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the test, as environment variables."""
    for name, value in settings.given().items():
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        monkeypatch.setenv(variable(name), text)
