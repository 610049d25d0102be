"""The stand-in, anew for each test."""

from collections.abc import Iterator

import pytest
from google.auth.credentials import CredentialsWithRegionalAccessBoundary

from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import BigQueryStore, store_of
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's library asks one of Google's servers where a service account may be used, whatever the endpoint is."""
    monkeypatch.setattr(
        CredentialsWithRegionalAccessBoundary, "_maybe_start_regional_access_boundary_refresh", lambda *_: None
    )


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.close()
    assert server.bugs == []


@pytest.fixture
def store(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> BigQueryStore:
    return store_of(stand_in, tmp_path_factory.mktemp("state") / "bigquery_days", bigquery_location="EU")


@pytest.fixture
def warehouse(store: BigQueryStore) -> BigQueryWarehouse:
    """An instance on the store of the test, ready for events."""
    opened = store.open()
    opened.ensure(ENGAGEMENT_EVENTS)
    return opened
