"""The contract over a real project, in a dataset of its own that is removed afterwards.

Runs when ENGAGEMENT_TEST_BIGQUERY_PROJECT names a project that the credentials of the environment may use; it costs
some cents. The stand-in's rules were read from documentation: this is where they meet the service.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from engagement_platform.adapters.warehouse.bigquery.client import Patience
from engagement_platform_tests.adapters.warehouse.bigquery.support import BigQueryStore
from engagement_platform_tests.adapters.warehouse.contract import WarehouseContract

PROJECT = os.environ.get("ENGAGEMENT_TEST_BIGQUERY_PROJECT", "")
LOCATION = os.environ.get("ENGAGEMENT_TEST_BIGQUERY_LOCATION", "EU")

pytestmark = pytest.mark.timeout(900)
if not PROJECT:
    pytest.skip("ENGAGEMENT_TEST_BIGQUERY_PROJECT names no project", allow_module_level=True)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryStore]:
    dataset = f"engagement_test_{uuid.uuid4().hex[:12]}"
    scratch = tmp_path_factory.mktemp("state") / "bigquery_days"
    made = BigQueryStore(scratch, Patience(), warehouse_uri=f"{PROJECT}.{dataset}", bigquery_location=LOCATION)
    yield made
    made.client().delete_dataset(f"{PROJECT}.{dataset}", delete_contents=True, not_found_ok=True)


class TestRealProject(WarehouseContract):
    pass
