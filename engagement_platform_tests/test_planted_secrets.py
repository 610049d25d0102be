"""Secrets are planted in every setting that holds one; everything that prints is run; none of them comes out.

Servers that work, that refuse the login, and that are not there, by addresses that hold passwords. The partner and the
webhook repeat in their answers all that they were sent.
"""

import base64
import io
import logging
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import dagster as dg
import psycopg
import pytest
import redis
from click.testing import CliRunner
from psycopg import sql
from pydantic import SecretStr
from starlette.testclient import TestClient

from engagement_platform import cli
from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.logs import JsonFormatter
from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.sampler import Sampler
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.definitions import definitions
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.errors import EngagementError
from engagement_platform.health.alerts import deliver, note
from engagement_platform.local.receiver_http import Reply, Server
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import FIELDS, Settings, variable
from engagement_platform.stream.registry import LOOPS, NAMES
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import insert, running, wait_for

pytestmark = pytest.mark.servers


class Planted:
    """Makes secrets that are known again, each for one setting."""

    def __init__(self) -> None:
        self.by_setting: dict[str, str] = {}

    def __getitem__(self, setting: str) -> str:
        return self.by_setting.setdefault(setting, f"planted{secrets.token_hex(12)}")

    def key(self, setting: str) -> str:
        """A key that signs, as Standard Webhooks has it; the text behind its prefix is the secret."""
        encoded = base64.b64encode(secrets.token_bytes(32)).decode()
        return f"whsec_{self.by_setting.setdefault(setting, encoded)}"

    def found_in(self, text: str) -> list[str]:
        """Return the settings whose secrets a text has, be they quoted as in an address."""
        return [name for name, one in self.by_setting.items() if one in text or quote(one, safe="") in text]


class Echo:
    """A partner, and a webhook, that answers with a status and with all headers and the address it was asked by."""

    def __init__(self) -> None:
        self.status, self.address, self.asked = 200, "", 0
        self._server = Server("127.0.0.1", 0, lambda: None, self._reply)
        self.port = self._server.server_address[1]

    def _reply(self, headers: dict[str, str], body: bytes) -> Reply:
        self.asked += 1
        repeated = f"{self.address} {' '.join(f'{name}: {value}' for name, value in headers.items())}"
        return Reply(self.status, repeated.encode(), {})

    def close(self) -> None:
        self._server.end()


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def echoes() -> Iterator[tuple[Echo, Echo]]:
    """The partner and the webhook."""
    both = Echo(), Echo()
    yield both
    for one in both:
        one.close()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, of every logger and level, as JSON with tracebacks."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    root, ours = logging.getLogger(), logging.getLogger("engagement_platform")
    levels = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def works(
    settings: Settings, stack: Endpoints, planted: Planted, echoes: tuple[Echo, Echo], source_db: SourceDatabase
) -> Iterator[Settings]:
    """Servers that take the planted passwords."""
    partner, webhook = echoes
    role, user = f"planted_{secrets.token_hex(4)}", f"planted_{secrets.token_hex(4)}"
    with (
        psycopg.connect(stack.admin_dsn, autocommit=True) as admin,
        redis.Redis.from_url(stack.redis_url) as administrator,
    ):
        names = {}
        for setting, dsn in (("source_dsn", source_db.dsn), ("platform_dsn", settings.platform.dsn.get_secret_value())):
            names[setting] = f"{role}_{setting.partition('_')[0]}"
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                    sql.Identifier(names[setting]), planted[setting], sql.Identifier(urlsplit(dsn).username or "")
                )
            )
        administrator.execute_command("ACL", "SETUSER", user, "on", f">{planted['redis_url']}", "~*", "&*", "+@all")
        place = urlsplit(stack.redis_url)
        partner.address = f"http://127.0.0.1:{partner.port}/{planted['api_path']}?token={planted['api_query']}"
        webhook.address = f"http://127.0.0.1:{webhook.port}/services/T0000/{planted['alert_url']}"
        try:
            yield settings.replace(
                source_dsn=with_login(source_db.dsn, names["source_dsn"], planted["source_dsn"]),
                platform_dsn=with_login(
                    settings.platform.dsn.get_secret_value(), names["platform_dsn"], planted["platform_dsn"]
                ),
                redis_url=SecretStr(f"redis://{user}:{planted['redis_url']}@{place.hostname}:{place.port}/0"),
                kafka_sasl_username="planted",
                kafka_sasl_password=SecretStr(planted["kafka_sasl_password"]),
                api_url=SecretStr(partner.address),
                api_token=SecretStr(planted["api_token"]),
                api_signing_key=SecretStr(planted.key("api_signing_key")),
                api_user_id="hash",
                api_hash_key=SecretStr(planted["api_hash_key"]),
                page_token=SecretStr(planted["page_token"]),
                alert_url=SecretStr(webhook.address),
                alert_signing_key=SecretStr(planted.key("alert_signing_key")),
                forward_group=f"forward-{settings.topics.events}",
            )
        finally:
            administrator.acl_deluser(user)
            for name in names.values():
                admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


def with_login(dsn: str, user: str, password: str) -> SecretStr:
    place = urlsplit(dsn)
    return SecretStr(f"postgresql://{user}:{password}@{place.hostname}:{place.port}{place.path}")


def refusing(works: Settings, planted: Planted) -> Settings:
    """The same servers, at which each login is wrong, and a Kafka that speaks another protocol."""
    wrong = {
        name: SecretStr(works[name].get_secret_value().replace(planted[name], planted[f"wrong {name}"]))
        for name in ("source_dsn", "platform_dsn", "redis_url")
    }
    return works.replace(**wrong, kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism="PLAIN")


def gone(works: Settings, planted: Planted) -> Settings:
    """Nobody listens at any of the addresses, and all of them hold secrets; behind proxies, too."""
    login = f"someone:{planted['of what is gone']}@127.0.0.1:1"
    return works.replace(
        source_dsn=SecretStr(f"postgresql://{login}/media?application_name={planted['option of the source']}"),
        platform_dsn=SecretStr(f"postgresql://{login}/platform"),
        redis_url=SecretStr(f"rediss://{login}/0"),
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_ssl_key_password=SecretStr(planted["kafka_ssl_key_password"]),
        redis_ssl_key_password=SecretStr(planted["redis_ssl_key_password"]),
        api_proxy=SecretStr(f"http://{login}"),
        alert_proxy=SecretStr(f"http://{login}"),
    )


def malformed(works: Settings, planted: Planted) -> Settings:
    """Addresses whose options no client knows, or whose passwords were not escaped."""
    return works.replace(
        source_dsn=SecretStr(f"host=127.0.0.1 password={planted['malformed source']} no_option=1"),
        redis_url=SecretStr(f"redis://:{planted['malformed redis']}@127.0.0.1:1/0?{planted['option of redis']}=1"),
    )


COMMANDS = (
    ["doctor", "--all-settings"],
    ["status", "--format", "json"],
    ["trace", "1"],
    ["checkpoint", "show"],
    ["dead-letters", "list"],
    ["backfill", "--to", "replay-topic", "--ids", "1"],
    ["views", "rebuild"],
    ["alert-test"],
    ["status"],
    ["warehouse", "status"],
    ["erase-user", "00000000-0000-4000-8000-000000000000", "--dry-run"],
    ["erasures"],
    ["pause", "tally"],
    ["resume", "tally"],
    ["sql", "SELECT 1"],
)
PATHS = (
    "/", "/metrics", "/days", "/dead-letters", "/event/1", "/api/v1/conditions", "/api/v1/top", "/api/v1/dead-letters",
    "/deliveries", "/deliveries/1", "/dead-letters/0:0", "/api/v1/status", "/api/v1/latency", "/api/v1/days",
    "/api/v1/deliveries", "/api/v1/events/1", "/api/v1/changes", "/api/v1/hand-overs", "/api/v1/openapi.json",
    "/healthz/stream", "/login",
)  # fmt: skip


def use(settings: Settings, patch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        patch.delenv(variable(name), raising=False)
    for name, value in settings.given().items():
        patch.setenv(variable(name), value.get_secret_value() if isinstance(value, SecretStr) else str(value))


ASKS_SERVERS = 8
"""Of commands and paths: where servers fail, each of the others would wait for the same one once more."""


def printed(settings: Settings, *, all_of_it: bool = False) -> Iterator[tuple[str, str]]:
    """Run all that prints, or what asks each server; yield what it was and what it said."""
    for command in COMMANDS if all_of_it else COMMANDS[:ASKS_SERVERS]:
        done = CliRunner(env={"COLUMNS": "400"}).invoke(cli.group, command)
        said = done.output if done.exception is None else f"{done.output}\n{done.exception!r}"
        yield " ".join(command), said
        if isinstance(done.exception, EngagementError):
            yield f"the remedy of {' '.join(command)}", f"{done.exception.what} {done.exception.todo}"
    token = settings["page_token"].get_secret_value()
    sampler = Sampler({settings.stream: settings})
    site = Site({settings.stream: settings}, sampler, Guard(token))
    with TestClient(create_app(site), base_url="http://127.0.0.1", raise_server_exceptions=False) as page:
        wait_for(lambda: sampler.latest.streams[settings.stream].ranking is not None, "a sample with the views")
        for number, path in enumerate(PATHS if all_of_it else PATHS[:ASKS_SERVERS]):
            for language in ("en", "ar") if all_of_it else ("en", "ar")[number % 2 : number % 2 + 1]:
                headers = {"accept": "text/html", "accept-language": language}
                answer = page.get(path, headers=headers)
                yield f"{path} in {language}", f"{answer.headers} {answer.text}"
        wrong = page.post("/login", data={"name": "me", "token": f"not-{token}"}, follow_redirects=False)
        yield "a wrong login", wrong.text.replace(f"not-{token}", "")


def told_by_dagster(job: str) -> Iterator[tuple[str, str]]:
    """Drain the stream by Dagster, and yield each event of the run, logs and errors included."""
    with dg.DagsterInstance.ephemeral() as instance:
        with suppress(Exception):
            definitions.resolve_job_def(job).execute_in_process(
                run_config={"lease_seconds": 0}, instance=instance, raise_on_error=False
            )
        for run in instance.get_runs():
            for entry in instance.all_logs(run.run_id):
                yield f"an event of the run: {entry.dagster_event_type or 'log'}", repr(entry)


def failing_loops(settings: Settings, log: io.StringIO, names: Collection[str] = NAMES) -> None:
    """Let loops fail for a moment: what they say of it is in the log."""
    for loop in (one for one in LOOPS if one.name in names):
        before = log.tell()
        with suppress(EngagementError), running(loop.imported().run, settings):
            wait_for(lambda before=before: log.tell() > before, "a line of the loop")  # type: ignore[misc]


def test_no_planted_secret_comes_out_anywhere(
    works: Settings,
    planted: Planted,
    echoes: tuple[Echo, Echo],
    log: io.StringIO,
    source_db: SourceDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    partner, webhook = echoes
    out: list[tuple[str, str]] = []
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        insert(owner, 3)
    use(works, monkeypatch)
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 300)
    monkeypatch.setattr(connection, "MAX_BLOCK_MS", 2_000)
    partner.status = webhook.status = 422
    out += told_by_dagster("engagement_stream")
    assert partner.asked > 0
    with Alerts.opened(works, "test") as alerts:
        note(
            alerts,
            [Condition(Kind.LOOP_PAUSED, Severity.WARNING, "engagement", "stage", 0.0, "Paused.")],
            lambda _: True,
        )
        out.append(("an alert", repr(deliver(alerts, works.alert)) + repr(alerts.standing())))
    assert webhook.asked > 0
    out += printed(works, all_of_it=True)
    failing: tuple[Callable[[Settings, Planted], Settings], ...] = (refusing, gone, malformed)
    for how in failing:
        settings = how(works, planted)
        use(settings, monkeypatch)
        out += [(f"{how.__name__}: {what}", said) for what, said in printed(settings)]
        failing_loops(settings, log, ("relay", "tally") if how is malformed else NAMES)
        with ExitStack() as stack, suppress(EngagementError):
            alerts = stack.enter_context(Alerts.opened(works, "test"))
            alerts.wake()
            out.append((f"{how.__name__}: an alert", repr(deliver(alerts, settings.alert))))
    captured = capfd.readouterr()
    out += [("the log", log.getvalue()), ("standard output", captured.out), ("standard error", captured.err)]
    out += [(f"a file: {path.name}", path.read_text(errors="replace")) for path in files_of(works)]
    assert len(out) > 100
    assert "does not answer" in log.getvalue()
    leaks = [(what, names) for what, said in out if (names := planted.found_in(said))]
    assert leaks == []


def files_of(settings: Settings) -> list[Path]:
    """What the stream wrote below its folder, but for the tables."""
    return [path for path in settings.state_dir.rglob("*") if path.is_file() and path.suffix != ".parquet"]


def test_every_secret_setting_is_planted(works: Settings, planted: Planted) -> None:
    """A setting that holds a secret, and that this file does not know, fails here."""
    secret = {name for name, field in FIELDS.items() if "SecretStr" in str(field.annotation)}
    assert len(secret) > 10
    assert secret - set(gone(works, planted).given()) == set()
