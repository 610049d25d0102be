"""How an error that a person should read ends an op or an asset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from engagement_platform.adapters.streams import streams
from engagement_platform.adapters.warehouse.port import LoadFailed
from engagement_platform.domain.errors import EngagementError, Refused, SettingsError, Unavailable
from engagement_platform.settings import Settings, about, load


@contextmanager
def explained(stream: str, *, gives_up_when_refused: bool = False) -> Iterator[None]:
    """Fail without a retry where one would fail again: at what a person has to put right. Remedies name the stream.

    A refusal may be short, as while a password is replaced: it is tried again unless `gives_up_when_refused`.
    """
    try:
        with about(stream):
            yield
    except Unavailable as error:
        if not (gives_up_when_refused and isinstance(error, Refused)):
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
    except LoadFailed as error:
        if not error.rows:  # the same rows may succeed another time
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
    except EngagementError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


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
