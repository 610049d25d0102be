"""Every setting: `sections` says what there is, `environment` reads it.

The variable of `lease_seconds` is ENGAGEMENT_LEASE_SECONDS, and so on. Nothing else in the package reads the
environment for configuration.
"""

from engagement_platform.settings.environment import ADDRESSES, first_day, load, variable
from engagement_platform.settings.sections import (
    FIELDS,
    Api,
    BigQuery,
    Kafka,
    Lease,
    Platform,
    Redis,
    Relay,
    Section,
    Settings,
    Source,
    Stage,
    Topics,
    Views,
    Warehouse,
)

__all__ = [
    "ADDRESSES",
    "FIELDS",
    "Api",
    "BigQuery",
    "Kafka",
    "Lease",
    "Platform",
    "Redis",
    "Relay",
    "Section",
    "Settings",
    "Source",
    "Stage",
    "Topics",
    "Views",
    "Warehouse",
    "first_day",
    "load",
    "variable",
]
