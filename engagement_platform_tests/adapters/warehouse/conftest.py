"""The fixtures of the contract."""

import pytest

from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform_tests.adapters.warehouse.support import Store
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS


@pytest.fixture
def warehouse(store: Store) -> Warehouse:
    """An instance on the store of the test, ready for events."""
    opened = store.open()
    opened.ensure(ENGAGEMENT_EVENTS)
    return opened
