"""Opens Google's client for the project and dataset that the settings name."""

import base64
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery.failures import explained
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Settings, variable

_URI = re.compile(r"(?P<project>[a-z][a-z0-9.:-]*[a-z0-9])\.(?P<dataset>[A-Za-z0-9_]{1,1024})")
_GOOGLES_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


@dataclass(frozen=True, slots=True)
class DatasetAddress:
    """Where the tables are, and how they are reached."""

    project: str
    dataset: str
    location: str | None = None
    """Of the dataset; None: wherever it is, and where Google puts it by default when it has to be made."""
    credentials: Path | None = None
    """Key file of a service account; None: Google's default credentials."""
    endpoint: str | None = None
    """Another address of the API."""

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited before BigQuery counts as unavailable, in seconds."""

    request: float = 60.0
    """For the answer to one request."""
    retries: float = 30.0
    """For a request that is tried again."""
    uploads: int = 3
    """Times that an upload is tried again, with pauses that double from one second."""
    job: float = 1_800.0
    """For the end of a job."""
    poll: float = 0.2
    """Pause before a job is looked at again; it grows to 25 times as much."""


def address_of(settings: Settings) -> DatasetAddress:
    """Return the place that the settings name. Raises SettingsError."""
    match = _URI.fullmatch(settings.warehouse.uri or "")
    if match is None:
        raise SettingsError(
            f"{variable('warehouse_uri')} is not the name of a BigQuery dataset.", "Set it to project.dataset."
        )
    _check_endpoint(settings.bigquery.endpoint)
    return DatasetAddress(
        match["project"],
        match["dataset"],
        settings.bigquery.location,
        settings.bigquery.credentials_file,
        settings.bigquery.endpoint,
    )


def open_client(address: DatasetAddress) -> bigquery.Client:
    """Return a client made by dagster-gcp's resource. Raises SettingsError, EngagementError.

    A plain-http endpoint on this machine is spoken to without credentials unless a key file is given.
    """
    endpoint = None if address.endpoint is None else address.endpoint.rstrip("/")
    if endpoint and _is_plain(endpoint) and address.credentials is None:
        return _at(endpoint, address, AnonymousCredentials())  # type: ignore[no-untyped-call]
    with explained(str(address), "connecting"):
        made = _made_by_resource(address)
    # The resource knows no endpoint, so a client of that address takes over the credentials that it found.
    return made if endpoint is None else _at(endpoint, address, made._credentials)


def _at(endpoint: str, address: DatasetAddress, credentials: Credentials) -> bigquery.Client:
    return bigquery.Client(
        project=address.project,
        credentials=credentials,
        location=address.location,
        client_options={"api_endpoint": endpoint},
    )


def _made_by_resource(address: DatasetAddress) -> bigquery.Client:
    from dagster_gcp import BigQueryResource  # noqa: PLC0415

    key = None if address.credentials is None else _encoded(address.credentials)
    resource = BigQueryResource(project=address.project, location=address.location, gcp_credentials=key)
    with _without_googles_variable(key is not None), resource.get_client() as client:
        return client


def _encoded(path: Path) -> str:
    """Return a key file as the resource takes it. What it holds is in no message and no traceback."""
    todo = "Set it to the key file of a service account, or leave it out to use Google's default credentials."
    try:
        key = path.read_bytes()
        json.loads(key)
    except OSError as error:
        what = f"The key file of {variable('bigquery_credentials_file')} cannot be read: {error.strerror}."
        raise SettingsError(what, todo) from error
    except ValueError:
        raise SettingsError(f"The file of {variable('bigquery_credentials_file')} is no key file.", todo) from None
    return base64.b64encode(key).decode()


@contextmanager
def _without_googles_variable(hidden: bool) -> Iterator[None]:
    """Let the key file of the setting win: the resource refuses to work while Google's own variable is set too."""
    before = os.environ.pop(_GOOGLES_VARIABLE, None) if hidden else None
    try:
        yield
    finally:
        if before is not None:
            os.environ[_GOOGLES_VARIABLE] = before


def _check_endpoint(endpoint: str | None) -> None:
    if endpoint is None:
        return
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise SettingsError(f"{variable('bigquery_endpoint')} is not an address.", "Set it to https://host[:port].")
    if _is_plain(endpoint) and not _is_loopback(parts.hostname):
        raise SettingsError(
            f"{variable('bigquery_endpoint')} would send Google's access token unencrypted.",
            "Use https. Plain http is for a server on this machine.",
        )


def _is_plain(endpoint: str) -> bool:
    return urlsplit(endpoint).scheme == "http"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
