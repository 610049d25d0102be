"""What one run does for all streams: one that is broken keeps no other from its turn."""

from collections.abc import Callable

import dagster as dg

from engagement_platform.adapters.streams import streams
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.settings import Settings, about, load


def for_each_stream(act: Callable[[Settings], None]) -> None:
    """Act with the settings of each stream, then fail when that could not be done for one. Raises dagster.Failure.

    For a folder that cannot be used nothing is done, and no schema made.
    """
    failures = {}
    for name, stream in streams().items():
        if isinstance(stream, SettingsError):
            failures[name] = str(stream)
            continue
        try:
            with about(name):
                act(load(name))
        except EngagementError as error:
            failures[name] = str(error)
    if failures:
        raise dg.Failure(" ".join(f"{name}: {said}" for name, said in failures.items()))
