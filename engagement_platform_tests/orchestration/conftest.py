import pytest

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
