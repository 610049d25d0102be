"""Chooses the warehouse that the settings name."""

from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.settings import Settings


def open_warehouse(settings: Settings) -> Warehouse:
    """Return the warehouse of ENGAGEMENT_WAREHOUSE. Its libraries are loaded here and not before."""
    if settings.warehouse.kind == "bigquery":
        from engagement_platform.adapters.warehouse.bigquery.warehouse import open_bigquery  # noqa: PLC0415

        return open_bigquery(settings)
    from engagement_platform.adapters.warehouse.delta.warehouse import open_delta  # noqa: PLC0415

    return open_delta(settings)


def replaced_rows_kept_hours(settings: Settings) -> int:
    """Return for how long, in hours, rows that were replaced can still be read in the warehouse.

    BigQuery: seven days of time travel at most, then seven of fail-safe storage
    (https://cloud.google.com/bigquery/docs/time-travel).
    """
    if settings.warehouse.kind == "bigquery":
        return 14 * 24
    from engagement_platform.adapters.warehouse.delta.tables import KEPT_HOURS  # noqa: PLC0415

    return KEPT_HOURS
