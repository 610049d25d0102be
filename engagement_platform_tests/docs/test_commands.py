"""What the pages tell to type, over real servers: the rights of own-servers.md, the examples of redis-keys.md."""

import contextlib
import io
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql
from pydantic import SecretStr

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import write

DOCS = Path(__file__).parents[2] / "docs"
CONTENT = "5f0c2f5e-0000-4000-8000-000000000001"
PASSWORD = secrets.token_hex(8)

pytestmark = pytest.mark.servers


def blocks(page: str) -> list[str]:
    found = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", (DOCS / page).read_text(), re.MULTILINE)
    return [textwrap.dedent(each) for each in found]


def block(page: str, mark: str) -> str:
    (found,) = (each for each in blocks(page) if mark in each)
    return found


@pytest.fixture
def own() -> str:
    """Part of names that nobody else uses."""
    return secrets.token_hex(4)


@pytest.fixture
def admin(source_db: SourceDatabase, own: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        yield connection
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(f"engagement_platform_{own}")))
        for name in (f"engagement_reader_{own}", f"engagement_platform_{own}"):
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
                connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


def run_as_owner(connection: psycopg.Connection, script: str, own: str) -> None:
    """Run statements of a page, with names and a password of our own."""
    named = re.sub(r"\b(engagement_reader|engagement_platform)\b", rf"\1_{own}", script).replace("…", PASSWORD)
    for statement in filter(str.strip, named.split(";")):
        connection.execute(statement)


def dsn(of: str, user: str, database: str) -> SecretStr:
    place = urlsplit(of)
    return SecretStr(f"postgresql://{user}:{PASSWORD}@{place.hostname}:{place.port}/{database}")


def test_the_rights_in_postgresql_are_enough(
    settings: Settings, source_db: SourceDatabase, admin: psycopg.Connection, own: str
) -> None:
    for mark in ("GRANT SELECT ON content", "CREATE DATABASE", "ON SEQUENCE"):
        run_as_owner(admin, block("own-servers.md", mark), own)
    reader, platform = f"engagement_reader_{own}", f"engagement_platform_{own}"
    theirs = settings.replace(
        source_dsn=dsn(source_db.admin_dsn, reader, admin.info.dbname),
        platform_dsn=dsn(source_db.admin_dsn, platform, platform),
    )
    ensure_schema(theirs)
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 3)
    assert drain(relay.run, theirs).progress.events == 3
    with psycopg.connect(theirs.source.dsn.get_secret_value()) as connection:
        for statement in ("DELETE FROM engagement_events", "CREATE TABLE mine (id int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement)


def test_the_rights_in_redis_are_enough(
    settings: Settings, stack: Endpoints, source_db: SourceDatabase, own: str
) -> None:
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 3)
    drain(relay.run, settings)
    said = block("own-servers.md", "ACL SETUSER").replace("…", PASSWORD)
    words = said.replace("SETUSER engagement", f"SETUSER {own}").replace(
        "{engagement}", f"{{{settings.redis.namespace}}}"
    )
    place = urlsplit(stack.redis_url)
    with redis.Redis.from_url(stack.redis_url) as administrator:
        administrator.execute_command(*shlex.split(words))
        try:
            url = SecretStr(f"redis://{own}:{PASSWORD}@{place.hostname}:{place.port}/0")
            assert drain(tally.run, settings.replace(redis_url=url)).progress.events == 3
        finally:
            administrator.acl_deluser(own)


@pytest.fixture
def views(settings: Settings, source_db: SourceDatabase) -> Settings:
    """Views with what somebody heard just now."""
    with psycopg.connect(source_db.writer_dsn) as writer:
        writer.execute(
            "INSERT INTO content (id, slug, title, content_type, publish_ts) VALUES (%s, 'a', 'سفر', 'podcast', now())",
            [CONTENT],
        )
        writer.execute(
            "INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, device)"
            " VALUES (%s, 'play', now(), 90000, 'ios')",
            [CONTENT],
        )
    drain(relay.run, settings)
    drain(tally.run, settings)
    return settings


def test_the_commands_for_the_views(views: Settings) -> None:
    lines = block("redis-keys.md", "redis-cli --no-auth").replace("{engagement}", f"{{{views.redis.namespace}}}")
    _, function, *examples = filter(None, lines.splitlines())
    assert "redis-cli --no-auth-warning -u" in function, "which takes user and password as the platform's client does"
    commands = [part for line in examples for part in line.split("#")[0].split(";") if part.strip()]
    answers = []
    with redis.Redis.from_url(views.redis.url.get_secret_value(), decode_responses=True) as client:
        for command in commands:
            program, *words = shlex.split(command.replace("5f0c2f5e-…", CONTENT))
            assert program == "views"
            answers.append(client.execute_command(*words))
    ranking, shown, milliseconds, (as_of, lag), clock = answers
    assert [(member, float(score)) for member, score in ranking] == [(CONTENT, 1)]
    assert json.loads(shown)["title"] == "سفر"
    assert float(milliseconds) == 90_000
    assert int(as_of) / 1_000 == pytest.approx(int(clock[0]), abs=60)
    assert int(lag) == 0


def test_a_url_with_a_password_names_its_user(stack: Endpoints) -> None:
    """redis-cli sends an empty user name where a URL has none, and is refused; redis-py sends none."""
    assert urlsplit(stack.redis_url).username == "default"


def test_the_program_for_the_views(views: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_REDIS_URL", views.redis.url.get_secret_value())
    program = block("redis-keys.md", "import json, os, redis").replace("{engagement}", f"{{{views.redis.namespace}}}")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(program, {})
    assert said.getvalue() == "90000 سفر\n"


def test_the_consumer_of_the_topic(views: Settings) -> None:
    *_, program = re.findall(r"```python\n(.*?)```", (DOCS / "topics.md").read_text(), re.DOTALL)
    program = program.replace('"engagement-events"', repr(views.topics.events)).replace(
        "my-application", views.topics.events
    )
    environment = {**os.environ, "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS": views.kafka.bootstrap_servers}
    with subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)\n" + program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as consumer:
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == "1 play سفر\n"
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(30) == 0
