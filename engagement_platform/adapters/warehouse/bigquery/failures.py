"""What Google's client raises, told as the platform's errors. No message holds a token or a key."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from google.api_core import exceptions as google
from google.auth import exceptions as auth

from engagement_platform.adapters.warehouse.port import QueryFailed, TableUnusable, one_line
from engagement_platform.domain.errors import EngagementError, Refused, Unavailable

_SERVER = "BigQuery"
_QUOTAS = {"quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded"}
_SILENT = (
    google.ServerError,
    google.TooManyRequests,
    google.RetryError,
    auth.TransportError,
    requests.exceptions.RequestException,
    ConnectionError,
    TimeoutError,
)
_RIGHTS = (
    "Give the platform's account the roles BigQuery Data Editor (roles/bigquery.dataEditor) on the dataset and "
    "BigQuery Job User (roles/bigquery.jobUser) on the project; to create the dataset it needs the first on the "
    "project."
)


@contextmanager
def explained(dataset: str, doing: str) -> Iterator[None]:
    """Turn what goes wrong in the block into the errors of the port. `place` is shown.

    Conflict and NotFound of a job are answers: who sends or looks up a job catches them inside the block.
    """
    try:
        yield
    except auth.DefaultCredentialsError as error:
        raise EngagementError(
            f"There are no usable Google credentials for {dataset}: {one_line(error)}.",
            "Set ENGAGEMENT_BIGQUERY_CREDENTIALS_FILE to the key file of a service account, or log in with "
            "`gcloud auth application-default login`.",
        ) from error
    except _SILENT as error:
        raise _silent(error, dataset, doing) from error
    except auth.GoogleAuthError as error:
        raise _refused_credentials(dataset, str(error.args[0]) if error.args else str(error)) from error
    except google.GoogleAPICallError as error:
        raise _told(error, dataset, doing) from error


def _refused_credentials(dataset: str, why: str) -> Refused:
    return Refused(
        f"Google does not accept the credentials for {dataset}: {why.rstrip('.')}.",
        "Check ENGAGEMENT_BIGQUERY_CREDENTIALS_FILE, or Google's default credentials, and that the key was not "
        "deleted or disabled.",
        server=_SERVER,
    )


def _silent(error: Exception, dataset: str, doing: str) -> Unavailable:
    cause = error.cause if isinstance(error, google.RetryError) and error.cause is not None else error
    return Unavailable(
        f"BigQuery does not answer to {doing} in {dataset}: {one_line(cause)}.", "It is tried again.", server=_SERVER
    )


def _told(error: google.GoogleAPICallError, dataset: str, doing: str) -> EngagementError:
    what = f"BigQuery refuses {doing} in {dataset}: {message_of(error)}."
    if reason_of(error) in _QUOTAS:
        return Unavailable(
            what,
            "It is tried again. If it stays so, raise ENGAGEMENT_STAGE_SECONDS, so that fewer and larger loads are "
            "sent, or rebuild fewer days at once.",
            server=_SERVER,
        )
    if isinstance(error, google.Unauthorized):
        return _refused_credentials(dataset, message_of(error))
    if isinstance(error, google.Forbidden):
        return Refused(what, _RIGHTS, server=_SERVER)
    if isinstance(error, google.NotFound):
        return TableUnusable(
            what, "Start the process again: what is missing is made anew, and its days have to be rebuilt."
        )
    return EngagementError(what, "Compare the settings, and the table, with what the platform needs.")


@contextmanager
def blaming_sql() -> Iterator[None]:
    """Turn what BigQuery says against a query's SQL into QueryFailed; to be used inside `explained`."""
    try:
        yield
    except (google.BadRequest, google.NotFound) as error:
        raise QueryFailed(f"The query failed: {message_of(error)}.") from error


def reason_of(error: google.GoogleAPICallError) -> str:
    """Return Google's word for the error, such as quotaExceeded; empty when it gave none."""
    return str(error.errors[0].get("reason", "")) if error.errors and isinstance(error.errors[0], dict) else ""


def message_of(error: google.GoogleAPICallError) -> str:
    """Return Google's message, without the request."""
    first = error.errors[0] if error.errors else None
    message = first.get("message") if isinstance(first, dict) else None
    return one_line(message or error.message)
