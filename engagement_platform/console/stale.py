"""The tables of a stream in Dagster, and which of their days another formula has made.

Only what Dagster has of these tables is made for it: the definitions of all streams take seconds to load.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.errors import SettingsError
from engagement_platform.orchestration.warehouse import formulas
from engagement_platform.orchestration.warehouse.events import events_of
from engagement_platform.orchestration.warehouse.marts import marts_of
from engagement_platform.settings import Settings


def instance() -> dg.DagsterInstance:
    """Return Dagster's instance. Raises SettingsError when DAGSTER_HOME does not lead to one."""
    try:
        return dg.DagsterInstance.get()
    except Exception as error:
        raise SettingsError(
            f"Dagster's instance cannot be opened: {' '.join(str(error).split())[:300]}",
            "Set DAGSTER_HOME to the folder with this repository's dagster.yaml, and ENGAGEMENT_PLATFORM_DSN.",
        ) from error


def tables_of(settings: Settings) -> Sequence[dg.AssetKey]:
    """Return the tables of a stream, which a backfill makes anew."""
    return [spec.key for spec in _specs_of(settings)]


def stale_of(settings: Settings) -> tuple[list[dg.AssetKey], list[date]]:
    """Return the tables that another formula has made, with those made from them, and the days, ascending."""
    specs = _specs_of(settings)
    stale = _stale_days(specs)
    return formulas.with_downstream(specs, stale), sorted({day for days in stale.values() for day in days})


def stale_tables_of(settings: Settings) -> Mapping[str, list[date]]:
    """Return table -> the days that another formula has made; only tables that have one. Raises SettingsError."""
    return {key.path[-1]: days for key, days in _stale_days(_specs_of(settings)).items()}


def _stale_days(specs: Sequence[dg.AssetSpec]) -> Mapping[dg.AssetKey, list[date]]:
    with instance() as dagster:
        return formulas.stale_days(dagster, specs)


def _specs_of(settings: Settings) -> Sequence[dg.AssetSpec]:
    stream = stream_of(settings)
    return [spec for table in (events_of(stream), *marts_of(stream)) for spec in table.specs]
