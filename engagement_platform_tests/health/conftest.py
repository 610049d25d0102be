import pytest

from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import make_settings


@pytest.fixture
def platform(stack: Endpoints, platform_db: str) -> Settings:
    """A platform database with its schema; the source is not used."""
    return make_settings(stack, "postgresql://nobody@127.0.0.1:1/unused", platform_db)
