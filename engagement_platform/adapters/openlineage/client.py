"""Tells a catalog of runs and of what they read and fill, by OpenLineage's own client.

The client reads OPENLINEAGE_URL, OPENLINEAGE_API_KEY and whatever else it documents; the key may be in a file, as the
platform's own secrets. It is an extra of this package, and is imported when there is something to tell.
"""

import importlib.util
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engagement_platform import __version__
from engagement_platform.domain.errors import SettingsError, Unavailable, redact
from engagement_platform.domain.lineage import Dataset, Stage, Told
from engagement_platform.settings import SecretFile

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

SERVER = "The OpenLineage server"
_PRODUCER = f"urn:engagement-platform:{__version__}"
_NAMESPACE = "engagement_platform"
_SECONDS = 5.0


_AT_FAULT = (400, 413, 422)
"""What a server answers to an event that it will not take the next time either."""


class EventRefused(Unavailable):
    """A server answers that it does not take this event. Perhaps it takes others."""


def is_wanted() -> bool:
    """Say whether OPENLINEAGE_URL names a server."""
    return bool(os.environ.get("OPENLINEAGE_URL"))


class Catalog:
    """A server that takes OpenLineage's events."""

    def __init__(self) -> None:
        """Raise SettingsError where the client is not installed."""
        if importlib.util.find_spec("openlineage") is None:
            raise SettingsError(
                "OPENLINEAGE_URL is set, and OpenLineage's client is not installed.",
                "Install the extra: pip install 'engagement-platform[lineage]', or unset the variable.",
            )
        from openlineage.client import OpenLineageClient, set_producer  # noqa: PLC0415

        set_producer(_PRODUCER)
        own, present = _configured(), set(os.environ)
        self._client = OpenLineageClient() if own is None else OpenLineageClient(config=own)
        for name in set(os.environ) - present:  # the client's notes to itself, which the next one would obey
            del os.environ[name]
        self._namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or _NAMESPACE

    def tell(self, told: Told) -> None:
        """Tell one event. Raises Unavailable when the server does not take it: EventRefused for this event."""
        event = event_of(told, self._namespace)
        try:
            self._client.emit(event)
        except Exception as error:  # of whichever transport the environment names
            status = getattr(getattr(error, "response", None), "status_code", None)
            kind = EventRefused if status in _AT_FAULT else Unavailable
            raise kind(
                f"{SERVER} did not take an event: {redact(str(error))}", "It is told again.", server=SERVER
            ) from error


def _configured() -> dict[str, Any] | None:
    """Return the client's configuration; None where the environment has one, beyond address, path and key.

    A server that is away is asked twice, and told later. By its default the client would try for ten seconds.
    """
    given = os.environ
    if "OPENLINEAGE_CONFIG" in given or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in given):
        return None
    transport: dict[str, Any] = {
        "type": "http",
        "url": given.get("OPENLINEAGE_URL", ""),
        "endpoint": given.get("OPENLINEAGE_ENDPOINT") or "api/v1/lineage",
        "timeout": _SECONDS,
        "retry": {"total": 1, "connect": 1, "read": 1},
    }
    if key := _key():
        transport["auth"] = {"type": "api_key", "apiKey": key}
    return {"transport": transport}


def _key() -> str:
    """Return the key, or what its file holds now; empty where none is set. Raises SettingsError."""
    file = os.environ.get("OPENLINEAGE_API_KEY_FILE")
    if file:
        return SecretFile("OPENLINEAGE_API_KEY", Path(file)).get_secret_value()
    return os.environ.get("OPENLINEAGE_API_KEY", "")


def event_of(told: Told, namespace: str) -> "RunEvent":
    """Return the event as the client takes it."""
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState  # noqa: PLC0415

    return RunEvent(
        eventType=RunState[told.stage.value],
        eventTime=_time(told.at),
        run=Run(told.run_id, _run_facets(told, namespace)),
        job=Job(namespace, told.job, _job_facets(told)),
        producer=_PRODUCER,
        inputs=[_input(dataset) for dataset in told.inputs],
        outputs=[_output(dataset) for dataset in told.outputs],
    )


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _job_facets(told: Told) -> dict[str, Any]:
    from openlineage.client.facet_v2 import documentation_job, job_type_job, ownership_job  # noqa: PLC0415

    kind = job_type_job.JobTypeJobFacet("STREAMING" if told.is_streaming else "BATCH", "DAGSTER", "JOB")
    facets: dict[str, Any] = {"jobType": kind}
    if told.meaning:
        facets["documentation"] = documentation_job.DocumentationJobFacet(told.meaning)
    if told.owners:
        facets["ownership"] = ownership_job.OwnershipJobFacet([ownership_job.Owner(name) for name in told.owners])
    return facets


def _run_facets(told: Told, namespace: str) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run, nominal_time_run, parent_run  # noqa: PLC0415

    facets: dict[str, Any] = {}
    if told.parent is not None:
        job, run_id = told.parent
        facets["parent"] = parent_run.ParentRunFacet(parent_run.Run(run_id), parent_run.Job(namespace, job))
    if told.day:
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(f"{told.day}T00:00:00.000Z")
    if told.error and told.stage is Stage.FAIL:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(told.error, "PYTHON")
    return facets


def _facets(dataset: Dataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import (  # noqa: PLC0415
        column_lineage_dataset as lineage,
    )
    from openlineage.client.facet_v2 import datasource_dataset, schema_dataset  # noqa: PLC0415

    facets: dict[str, Any] = {
        "dataSource": datasource_dataset.DatasourceDatasetFacet(dataset.place.namespace, dataset.place.uri)
    }
    if dataset.fields:
        facets["schema"] = schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(one.name, one.type or None, one.meaning or None)
                for one in dataset.fields
            ]
        )
    made_from = {
        one.name: lineage.Fields(
            [lineage.InputField(place.namespace, place.name, column) for place, column in one.made_from]
        )
        for one in dataset.fields
        if one.made_from
    }
    if made_from:
        facets["columnLineage"] = lineage.ColumnLineageDatasetFacet(made_from)
    return facets


def _input(dataset: Dataset) -> "InputDataset":
    from openlineage.client.event_v2 import InputDataset  # noqa: PLC0415

    return InputDataset(dataset.place.namespace, dataset.place.name, facets=_facets(dataset))


def _output(dataset: Dataset) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset  # noqa: PLC0415
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics  # noqa: PLC0415

    written = (
        {}
        if dataset.rows is None
        else {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rowCount=dataset.rows)}
    )
    return OutputDataset(
        dataset.place.namespace, dataset.place.name, facets=_facets(dataset), outputFacets=dict(written)
    )
