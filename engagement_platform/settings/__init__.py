"""Every setting: `sections` says what there is, `settings` has all of one stream, `environment` reads them.

The variable of `lease_seconds` is ENGAGEMENT_LEASE_SECONDS, and so on. Nothing else in the package reads the
environment for configuration.
"""

from engagement_platform.settings.environment import (
    ADDRESSES,
    about,
    first_day,
    has_packaged_stream,
    kafka_client,
    load,
    source_dsn_of,
    stream_folders,
    streams_with_settings,
)
from engagement_platform.settings.section import STREAM, variable
from engagement_platform.settings.sections import Api, Kafka, Redis, Topics, Views
from engagement_platform.settings.settings import FIELDS, Settings, default_of
