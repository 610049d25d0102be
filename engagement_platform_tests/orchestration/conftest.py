import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import make_settings


@pytest.fixture
def platform(stack: Endpoints, platform_db: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A migrated platform database that the environment names; the source is not used."""
    settings = make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", platform_db)
    ensure_schema(settings)
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", settings.source.dsn.get_secret_value())
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", platform_db)
    return settings


@pytest.fixture
def leases(platform: Settings) -> Iterator[Leases]:
    made = Leases(Session(platform, "test"))
    yield made
    made.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="session")
def new_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an instance that has done nothing: a copy is there in a fifth of the time that another takes."""
    folder = tmp_path_factory.mktemp("instance")
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        made.get_runs(limit=1)
        made.get_daemon_statuses()
    return folder


@pytest.fixture
def kept_instance(new_instance: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in the folder of the test."""
    shutil.copytree(new_instance, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made
