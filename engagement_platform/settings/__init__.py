"""Every setting: `sections` says what there is, `settings` has all of one stream, `environment` reads them.

The variable of `lease_seconds` is ENGAGEMENT_LEASE_SECONDS, and so on. Nothing else in the package reads the
environment for configuration.
"""

from engagement_platform.settings.environment import (
    ADDRESSES,
    about,
    alerting,
    catalog_of,
    first_day,
    has_packaged_stream,
    is_anybody_told,
    kafka_client,
    load,
    logs,
    page,
    platform_dsn,
    source_dsn_of,
    stream_executor,
    stream_folders,
    streams_with_settings,
)
from engagement_platform.settings.secret_file import SecretFile, files_of
from engagement_platform.settings.section import STREAM, variable
from engagement_platform.settings.sections import Alerting, Api, Catalog, Kafka, Logs, Page, Redis, Topics, Views
from engagement_platform.settings.settings import FIELDS, SECRET, Settings, default_of
