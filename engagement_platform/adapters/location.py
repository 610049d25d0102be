"""The settings by which is kept what belongs to Dagster and to no single stream, such as the heartbeats of runs."""

from engagement_platform.adapters.streams import streams
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import STREAM, Settings, load


def settings_of_location() -> Settings:
    """Return the settings of the first stream that has usable ones: a stream whose own are at fault stops only itself.

    One whose folder cannot be used has no schema; of `engagement` it is the common one.

    Raises SettingsError when none can be used.
    """
    first: SettingsError | None = None
    for name, stream in streams().items():
        if isinstance(stream, SettingsError) and name != STREAM:
            first = first or stream
            continue
        try:
            return load(name)
        except SettingsError as error:
            first = first or error
    raise first or SettingsError("There is no stream.")
