"""Passwords that are replaced while everything runs: sessions are cut, the old ones refused, nothing is restarted."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import DagsterRun
from deltalake import DeltaTable

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.loop_state import Activity
from engagement_platform.local.receiver import Receiver
from engagement_platform.orchestration.storage import PlatformStorage
from engagement_platform.settings import SecretFile, Settings
from engagement_platform.stream.control import Control
from engagement_platform_tests.secure.conftest import FIRST
from engagement_platform_tests.secure.servers import USER, Servers
from engagement_platform_tests.streaming import insert, lease_run, wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

pytestmark = [pytest.mark.servers, pytest.mark.newcomer]  # with the start of the servers a minute and a half

ROOT = Path(__file__).parents[2]
SECOND = "hunter2-second"
SECONDS = 60.0


@dataclass(frozen=True)
class Files:
    """The files of all secrets of the settings."""

    servers: Servers
    folder: Path

    def write(self, password: str, *names: str) -> None:
        """Let the secrets of these settings have a password."""
        for name in names:
            new = self.folder / f"{name}.new"
            new.write_text(self.text(name, password))
            new.rename(self.folder / name)

    def text(self, name: str, password: str) -> str:
        databases = {"source_dsn": "media", "platform_dsn": "engagement_platform"}
        if name in databases:
            return self.servers.dsn(USER, password, databases[name])
        return self.servers.redis_url(password) if name == "redis_url" else password

    def secret(self, name: str) -> SecretFile:
        return SecretFile(f"ENGAGEMENT_{name.upper()}", self.folder / name)


NAMES = ("source_dsn", "platform_dsn", "redis_url", "kafka_sasl_password", "api_token")


@pytest.fixture
def files(servers: Servers, tmp_path: Path) -> Iterator[Files]:
    made = Files(servers, tmp_path)
    made.write(FIRST, *NAMES)
    yield made
    for kind in ("postgres", "redis", "kafka"):
        set_password(servers, kind, FIRST)


def set_password(servers: Servers, kind: str, password: str) -> None:
    """Let the platform's user have this password alone, and end the sessions that it has."""
    if kind == "postgres":
        with servers.admin() as admin:
            admin.execute(f"ALTER ROLE {USER} PASSWORD '{password}'".encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [USER])
    elif kind == "redis":
        with servers.operator() as operator:
            operator.acl_setuser(USER, enabled=True, reset_passwords=True, passwords=[f"+{password}"])
            operator.client_kill_filter(user=USER)
    else:
        servers.set_kafka_password(password)  # within a moment each client has to log in again


OF = {"postgres": ("source_dsn", "platform_dsn"), "redis": ("redis_url",), "kafka": ("kafka_sasl_password",)}
NOTICES = {"postgres": "relay", "redis": "tally", "kafka": "tally"}


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
def test_the_stream_goes_on_with_other_passwords(
    servers: Servers, secure: Settings, files: Files, client: str, tmp_path: Path
) -> None:
    own = {name: f"{client}-{name}" for name in ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic")}
    with Receiver() as partner:
        settings = secure.replace(
            **{name: files.secret(name) for name in NAMES}, **own, kafka_client=client, start="latest",
            api_url=partner.url, redis_namespace=f"of-{client}", stage_seconds=0.2, state_dir=tmp_path / "state",
            forward_group=f"group-{client}", transaction_timeout_ms=2_000,
        )  # fmt: skip
        with servers.admin() as admin:
            admin.execute(b"DROP SCHEMA IF EXISTS engagement_platform CASCADE")
        ensure_schema(settings)
        sent = 0
        with lease_run(settings) as loops:
            for loop in loops.values():
                wait_for(partial(is_at, Activity.STREAMS, loop), "each loop", SECONDS)
            for kind in ("none", *OF):
                if kind != "none":
                    set_password(servers, kind, SECOND)
                    noticing = loops[NOTICES[kind]]
                    wait_for(partial(is_at, Activity.REFUSED, noticing), f"{kind} refuses", SECONDS)
                    assert "refuses the login" in noticing.progress.state.reason
                    files.write(SECOND, *OF[kind])
                sent += write(servers)
                wait_for(partial(have, settings, partner, sent), f"{kind}: {sent} events", SECONDS)
            files.write(SECOND, "api_token")
            sent += write(servers)
            wait_for(partial(have, settings, partner, sent), "the new token", SECONDS)
            assert partner.headers[-1]["authorization"] == f"Bearer {SECOND}"


def is_at(activity: Activity, loop: Control) -> bool:
    return loop.progress.state.kind is activity


def have(settings: Settings, partner: Receiver, n: int) -> bool:
    """Say whether Redis, the partner and the warehouse have so many events, each."""
    return counts(settings, partner) == (n, n, n)


def write(servers: Servers, n: int = 5) -> int:
    with psycopg.connect(servers.postgres.url("postgres", "media")) as connection:
        insert(connection, n)
    return n


def counts(settings: Settings, partner: Receiver) -> tuple[int, int, int]:
    """Return how many events Redis, the partner and the warehouse have."""
    table = Path(settings.effective_warehouse_uri) / ENGAGEMENT_EVENTS.name
    loaded = DeltaTable(table).to_pyarrow_table(columns=["id"]).num_rows if table.exists() else 0
    with closing(Views.connect(settings)) as views:
        counted = views.totals().count
    return counted, len({delivery.key for delivery in partner.deliveries}), loaded


def test_dagsters_own_storage_goes_on_with_other_passwords(
    servers: Servers, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENGAGEMENT_PLATFORM_DSN", raising=False)
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN_FILE", str(files.folder / "platform_dsn"))
    data = InstanceRef.from_dir(str(ROOT)).storage_data
    assert data is not None
    storage = data.rehydrate(as_type=PlatformStorage)
    kept = storage.run_storage
    kept.add_run(DagsterRun(job_name="of-the-first"))
    set_password(servers, "postgres", SECOND)
    files.write(SECOND, "platform_dsn")
    assert [run.job_name for run in kept.get_runs()] == ["of-the-first"]
    storage.event_log_storage.optimize_for_webserver(statement_timeout=5_000, pool_recycle=60, max_overflow=2)
    set_password(servers, "postgres", FIRST)
    files.write(FIRST, "platform_dsn")
    assert list(storage.event_log_storage.all_asset_keys()) == []
