"""Chooses the warehouse that the settings name."""

from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.settings import Settings


def connect(settings: Settings) -> Warehouse:
    """Return the warehouse of ENGAGEMENT_WAREHOUSE. Its libraries are loaded here and not before."""
    if settings.warehouse == "bigquery":
        from engagement_platform.adapters.warehouse.bigquery.warehouse import open_bigquery  # noqa: PLC0415

        return open_bigquery(settings)
    from engagement_platform.adapters.warehouse.delta.warehouse import open_delta  # noqa: PLC0415

    return open_delta(settings)
