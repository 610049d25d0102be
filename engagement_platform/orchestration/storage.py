"""Dagster's own storage, in the platform database: dagster.yaml names this class.

It is Dagster's storage for PostgreSQL, at ENGAGEMENT_PLATFORM_DSN, or at what the file of ENGAGEMENT_PLATFORM_DSN_FILE
holds whenever a connection is opened.
"""

from collections.abc import Mapping
from typing import Any, Self

from dagster_postgres import DagsterPostgresStorage

from engagement_platform.adapters import logs
from engagement_platform.adapters.platform.engines import follow
from engagement_platform.settings import SecretFile, platform_dsn


class PlatformStorage(DagsterPostgresStorage):
    """Dagster's storage in the platform database."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return what dagster.yaml may say of it: nothing, for the environment does."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, _: Mapping[str, Any]) -> Self:
        """Return the storage. Raises SettingsError where the address is not set, or is none."""
        logs.install()  # of this storage's own warnings: Dagster's daemon runs no other code of the platform
        dsn = platform_dsn()
        if isinstance(dsn, SecretFile):
            follow(dsn)
        made: Self = cls(postgres_url=dsn.get_secret_value(), inst_data=inst_data)
        return made
