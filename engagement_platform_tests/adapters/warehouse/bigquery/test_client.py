"""How BigQuery is reached: credentials, rights, addresses, and what is said when they are wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.errors import EngagementError, Refused, SettingsError, Unavailable
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import BigQueryStore, store_of
from engagement_platform_tests.adapters.warehouse.rows import batch, events
from engagement_platform_tests.adapters.warehouse.support import IDS, ids, load, warehouse_settings
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

TOKEN = "a-secret-token"


@pytest.fixture(scope="module")
def private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def key_file(stand_in: StandIn, private_key: str, tmp_path: Path) -> Path:
    """A key that the stand-in's token endpoint knows."""
    path = tmp_path / "key.json"
    key = {
        "type": "service_account",
        "project_id": stand_in.project,
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": "platform@a-project.iam.gserviceaccount.com",
        "token_uri": f"{stand_in.address}/token",
    }
    path.write_text(json.dumps(key))
    stand_in.token = stand_in.issued = TOKEN
    return path


def test_a_key_file_gives_the_token_with_which_the_api_is_spoken_to(
    stand_in: StandIn, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Google's own variable names another file: the setting wins, and the variable stays as it was."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    opened = store_of(stand_in, tmp_path / "state", bigquery_credentials_file=key_file).open()
    opened.ensure(ENGAGEMENT_EVENTS)
    opened.append(load(1), batch(tmp_path, events([1])))
    assert ids(opened) == [1]
    assert os.environ["GOOGLE_APPLICATION_CREDENTIALS"] == "/nowhere/key.json"


def test_default_credentials(
    stand_in: StandIn, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked for only when there is no key file and the address is Google's, or encrypted."""
    from engagement_platform.adapters.warehouse.bigquery import client

    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    place = client.DatasetAddress(stand_in.project, "engagement", endpoint="https://bigquery.internal:8443")
    opened = client.open_client(place)
    assert opened._credentials.service_account_email == "platform@a-project.iam.gserviceaccount.com"
    assert opened._connection.API_BASE_URL == "https://bigquery.internal:8443"


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(EngagementError, match="no usable Google credentials") as raised:
        open_warehouse(warehouse_settings(warehouse="bigquery", warehouse_uri="a-project.engagement"))
    assert "ENGAGEMENT_BIGQUERY_CREDENTIALS_FILE" in raised.value.todo


def test_a_key_that_google_has_deleted(stand_in: StandIn, key_file: Path, private_key: str, tmp_path: Path) -> None:
    stand_in.issues_tokens = False
    opened = store_of(stand_in, tmp_path, bigquery_credentials_file=key_file).open()
    with pytest.raises(EngagementError, match="invalid_grant") as raised:
        opened.ensure(ENGAGEMENT_EVENTS)
    assert isinstance(raised.value, Refused)
    assert private_key.splitlines()[1] not in str(raised.value)


def test_a_token_that_the_api_refuses(stand_in: StandIn, key_file: Path, tmp_path: Path) -> None:
    stand_in.token = "another"
    with pytest.raises(EngagementError, match="does not accept the credentials") as raised:
        store_of(stand_in, tmp_path, bigquery_credentials_file=key_file).open().ensure(ENGAGEMENT_EVENTS)
    assert TOKEN not in str(raised.value)


def test_an_api_that_wants_credentials(stand_in: StandIn, store: BigQueryStore) -> None:
    stand_in.token = TOKEN
    with pytest.raises(EngagementError, match="no usable Google credentials"):
        store.open().ensure(ENGAGEMENT_EVENTS)


@pytest.mark.parametrize("content", [None, "no key", '{"type": "service_account", "private_key": "broken-key"}'])
def test_a_key_file_that_is_none(stand_in: StandIn, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EngagementError) as raised:
        store_of(stand_in, tmp_path, bigquery_credentials_file=path).open()
    assert "ENGAGEMENT_BIGQUERY_CREDENTIALS_FILE" in str(raised.value)
    assert "broken-key" not in str(raised.value)


@pytest.mark.parametrize("method", ["datasets.get", "tables.get", "tables.insert"])
def test_a_right_that_is_missing_is_named(stand_in: StandIn, store: BigQueryStore, method: str) -> None:
    stand_in.faults.refused[method] = ("accessDenied", "Access Denied: Permission bigquery.tables.create denied")
    with pytest.raises(EngagementError, match="Access Denied") as raised:
        store.open().ensure(ENGAGEMENT_EVENTS)
    assert "roles/bigquery.dataEditor" in raised.value.todo
    assert "roles/bigquery.jobUser" in raised.value.todo


def test_the_right_to_run_jobs(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    stand_in.faults.refused["jobs.insert"] = ("accessDenied", "Access Denied: bigquery.jobs.create denied")
    for act in (lambda: warehouse.append(load(1), batch(tmp_path, events([1]))), lambda: warehouse.query(IDS)):
        with pytest.raises(EngagementError, match="Access Denied") as raised:
            act()
        assert "roles/bigquery.jobUser" in raised.value.todo


def test_another_project(stand_in: StandIn, tmp_path: Path) -> None:
    with pytest.raises(EngagementError, match="Access Denied"):
        store_of(stand_in, tmp_path, warehouse_uri="not-mine.engagement").open().ensure(ENGAGEMENT_EVENTS)


def test_a_server_that_is_not_there(stand_in: StandIn, store: BigQueryStore) -> None:
    opened = store.open()
    stand_in.close()
    with pytest.raises(Unavailable, match="does not answer"):
        opened.ensure(ENGAGEMENT_EVENTS)


@pytest.mark.parametrize("uri", [None, "", "project", "project.", ".dataset", "project.data-set", "Project.dataset"])
def test_a_uri_that_names_no_dataset(uri: str | None) -> None:
    with pytest.raises(SettingsError, match="ENGAGEMENT_WAREHOUSE_URI"):
        open_warehouse(warehouse_settings(warehouse="bigquery", warehouse_uri=uri))


@pytest.mark.parametrize(
    "endpoint", ["bigquery.internal", "ftp://127.0.0.1", "http://10.0.0.1:80", "http://example.com", "https://u:p@host"]
)
def test_an_endpoint_that_cannot_be_used(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="ENGAGEMENT_BIGQUERY_ENDPOINT") as raised:
        open_warehouse(
            warehouse_settings(warehouse="bigquery", warehouse_uri="a-project.engagement", bigquery_endpoint=endpoint)
        )
    assert "u:p" not in str(raised.value)


def test_the_settings_lead_here(stand_in: StandIn, tmp_path: Path) -> None:
    opened = open_warehouse(
        warehouse_settings(
            warehouse="bigquery",
            warehouse_uri=f"{stand_in.project}.engagement",
            bigquery_endpoint=stand_in.address,
            bigquery_location="EU",
            state_dir=tmp_path,
        )
    )
    assert opened.ensure(ENGAGEMENT_EVENTS).startswith(f"bigquery:{stand_in.project}.engagement.engagement_events@")


def test_nothing_of_google_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, engagement_platform.settings, engagement_platform.adapters.warehouse.connect\n"
        "print([name for name in sys.modules if name.startswith(('google.cloud', 'google.auth', 'dagster_gcp'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
