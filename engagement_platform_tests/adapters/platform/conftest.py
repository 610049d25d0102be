import pytest

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import make_settings


@pytest.fixture
def bare(stack: Endpoints, empty_platform_db: str) -> Settings:
    """An empty platform database; the source is not used."""
    return make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", empty_platform_db)


@pytest.fixture
def migrated(stack: Endpoints, platform_db: str) -> Settings:
    """A platform database with its schema; the source is not used."""
    return make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", platform_db)


def of_stream(settings: Settings, name: str) -> Settings:
    """Return the settings of another stream, which has started."""
    made = settings.replace(stream=name)
    ensure_schema(made)
    return made
