"""Every setting: `sections` says what there is, `environment` reads it.

The variable of `lease_seconds` is ENGAGEMENT_LEASE_SECONDS, and so on. Nothing else in the package reads the
environment for configuration.
"""

from engagement_platform.settings.environment import (
    ADDRESSES,
    about,
    first_day,
    load,
    source_dsn_of,
    stream_folders,
    streams_with_settings,
)
from engagement_platform.settings.sections import (
    FIELDS,
    OWN,
    SHARED,
    STREAM,
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
    default_of,
    variable,
)

__all__ = [
    "ADDRESSES",
    "FIELDS",
    "OWN",
    "SHARED",
    "STREAM",
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
    "about",
    "default_of",
    "first_day",
    "load",
    "source_dsn_of",
    "stream_folders",
    "streams_with_settings",
    "variable",
]
