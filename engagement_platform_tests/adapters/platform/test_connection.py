"""What waits for the platform database gives up in time, whatever has become of the server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters import bounded
from engagement_platform.adapters.platform import connection, mirror
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.checkpoint import Checkpoint, SourceIdentity
from engagement_platform.domain.errors import Refused, SettingsError, Unavailable
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.platform.frozen import frozen_postgres
from engagement_platform_tests.conftest import make_settings
from engagement_platform_tests.streaming import wait_for

PATIENCE = 1.0
CHECKPOINT = Checkpoint(source=SourceIdentity("1", 1, "media"), hi=1, missing=[], unseen_at=0)


@pytest.fixture
def platform(own_stack: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", PATIENCE)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 2)
    settings = make_settings(own_stack, own_stack.source_dsn, own_stack.platform_dsn)
    ensure_schema(settings)
    return settings


@contextmanager
def gives_up() -> Iterator[None]:
    """The block raises Unavailable within the time of one attempt."""
    began = time.monotonic()
    with pytest.raises(Unavailable, match="The platform database does not answer"):
        yield
    assert time.monotonic() - began < PATIENCE + connection.CONNECT_SECONDS + 3


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "act",
    [
        lambda leases: leases.latest(),
        lambda leases: leases.snapshot("a"),
        lambda leases: leases.register("a", "relay"),
        lambda leases: leases.beat("a", "relay", 1, {}),
    ],
)
def test_a_session_that_freezes_is_given_up_and_made_anew(
    platform: Settings, own_stack_folder: Path, act: Callable[[Leases], object]
) -> None:
    leases = Leases(Session(platform, "test"))
    leases.latest()
    with frozen_postgres(own_stack_folder):
        with gives_up():
            act(leases)
        with gives_up():
            act(leases)  # connects anew
    act(leases)
    leases.close()


@pytest.mark.timeout(60)
def test_a_frozen_server_does_not_hold_up_who_reads_or_replaces_the_checkpoint(
    platform: Settings, own_stack_folder: Path
) -> None:
    with frozen_postgres(own_stack_folder):
        with gives_up():
            mirror.read(platform)
        with gives_up():
            mirror.replace(platform, CHECKPOINT)
        assert mirror.Mirror(platform).last(required=False) is None


@pytest.mark.timeout(60)
def test_the_mirror_outlives_a_frozen_server(platform: Settings, own_stack_folder: Path) -> None:
    with mirror.Mirror(platform) as copy:
        copy.record(CHECKPOINT)
        wait_for(lambda: mirror.read(platform) == CHECKPOINT, "the first copy")
        with frozen_postgres(own_stack_folder):
            later = Checkpoint(source=CHECKPOINT.source, hi=2, missing=[], unseen_at=0)
            copy.record(later)
            wait_for(lambda: not copy.session.is_connected, "the thread to give up")
        wait_for(lambda: mirror.read(platform) == later, "the copy after the freeze")


@pytest.mark.timeout(60)
def test_a_session_that_breaks_between_statements_of_a_transaction_is_given_up(
    platform: Settings, own_stack_folder: Path
) -> None:
    with (
        gives_up(),
        connection.translated(),
        connection.connect_platform(platform, "test") as session,
        session.transaction(),
    ):
        session.execute("SELECT 1")
        with frozen_postgres(own_stack_folder):
            session.execute("SELECT 2")


def test_a_long_answer_is_not_silence(platform: Settings) -> None:
    """Chunks of the result come for longer than the patience lasts."""
    with connection.connect_platform(platform, "test") as session:
        rows = session.execute(
            "SELECT repeat('x', 1000000) FROM generate_series(1, 8) AS n, LATERAL pg_sleep(0.3 + n * 0)"
        )
        assert len(rows.fetchall()) == 8


def test_a_statement_that_takes_too_long_is_ended_by_the_server(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection._PATIENCE_SECONDS == PATIENCE
    monkeypatch.undo()
    assert connection._PATIENCE_SECONDS * 1000 > connection._STATEMENT_MS
    monkeypatch.setattr(connection, "_STATEMENT_MS", 200)
    with pytest.raises(psycopg.errors.QueryCanceled), connection.connect_platform(platform, "test") as session:
        session.execute("SELECT pg_sleep(30)")


@pytest.mark.parametrize("dsn", ["host=h password=a hunter2=b", "postgresql://u:%hunter2@h/x", "hunter2"])
def test_a_dsn_that_the_client_refuses_is_not_repeated(platform: Settings, dsn: str) -> None:
    wrong = platform.replace(platform_dsn=SecretStr(dsn))
    with pytest.raises(SettingsError, match="ENGAGEMENT_PLATFORM_DSN") as raised:
        connection.connect_platform(wrong, "test")
    assert "hunter2" not in str(raised.value)


def test_the_patience_can_be_chosen(own_stack: Endpoints) -> None:
    session = bounded.connect(own_stack.source_dsn, "DSN", server="The source", patience=0.3, prepare="SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="silent"):
        session.execute("SELECT pg_sleep(30)")
    assert session.closed


SHOWN = (
    "SELECT current_setting('work_mem'), current_setting('statement_timeout'), current_setting('timezone'),"
    " current_setting('transaction_isolation')"
)


def test_all_that_the_dsn_says_is_kept_beside_our_own_settings(settings: Settings) -> None:
    own = settings.platform.dsn.get_secret_value()
    dsn = f"{own}?options=-cwork_mem%3D7MB%20-cdefault_transaction_isolation%3Dserializable"
    with connection.connect_platform(settings.replace(platform_dsn=SecretStr(dsn)), "test") as session:
        assert session.execute(SHOWN).fetchone() == ("7MB", "5s", "UTC", "read committed")


@pytest.mark.parametrize("parts", [{"password": "s3cret"}, {"user": "nobody"}, {"dbname": "nowhere"}])
def test_who_refuses_the_login_is_not_said_to_be_away(settings: Settings, parts: dict[str, str]) -> None:
    dsn = psycopg.conninfo.make_conninfo(settings.platform.dsn.get_secret_value(), **parts)
    wrong = settings.replace(platform_dsn=SecretStr(dsn))
    for act in (ensure_schema, mirror.read):
        with pytest.raises(Refused, match="The platform database refuses the login: ") as refused:
            act(wrong)
        assert "ENGAGEMENT_PLATFORM_DSN" in str(refused.value)
        assert "s3cret" not in str(refused.value)
        assert refused.value.server == "the platform database"


def test_a_right_that_was_taken_away_is_refused(settings: Settings) -> None:
    ensure_schema(settings)
    with connection.connect_platform(settings, "test") as owner:
        owner.execute("REVOKE ALL ON ALL TABLES IN SCHEMA engagement_platform FROM engagement_platform")
        with pytest.raises(Refused, match="The platform database refuses a right"):
            mirror.read(settings)
        owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA engagement_platform TO engagement_platform")
    assert mirror.read(settings) is None
