"""The settings by which is kept what belongs to Dagster and to no single stream, such as the heartbeats of runs."""

from engagement_platform.adapters.streams import streams
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Settings, load


def settings_of_location() -> Settings:
    """Return the settings of the first stream that has usable ones: a stream whose own are at fault stops only itself.

    Raises SettingsError when none can be used.
    """
    first: SettingsError | None = None
    for name in streams():
        try:
            return load(name)
        except SettingsError as error:
            first = first or error
    raise first or SettingsError("There is no stream.")
