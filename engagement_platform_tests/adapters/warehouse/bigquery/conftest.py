"""The stand-in, anew for each test."""

from collections.abc import Iterator

import pytest

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import BigQueryStore, store_of


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.close()
    assert server.bugs == []


@pytest.fixture
def store(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> BigQueryStore:
    return store_of(stand_in, tmp_path_factory.mktemp("state") / "bigquery_days", bigquery_location="EU")
