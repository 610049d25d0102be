"""The option --stream of the commands that concern one stream, and what it chooses."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from engagement_platform.domain.stream_names import PACKAGED

if TYPE_CHECKING:
    from engagement_platform.domain.errors import EngagementError
    from engagement_platform.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., None])


def of_stream(command: _Command) -> _Command:
    """Let a command take --stream NAME, as its argument `stream`; `settings_of` returns that stream's settings."""
    meaning = f"The stream that is meant; by default {PACKAGED}, or the only one."
    return click.option("--stream", metavar="NAME", help=meaning)(command)


def settings_of(stream: str | None) -> "Settings":
    """Return the settings of the stream that was named, or of the default one. Remedies name it until the command ends.

    Raises click.UsageError for a stream that there is not, and SettingsError for one that cannot be used.
    """
    from engagement_platform.settings import about, load

    name = chosen(stream)
    click.get_current_context().with_resource(about(name))
    return load(name)


def settings_of_each(stream: str | None) -> "dict[str, Settings | EngagementError]":
    """Return the settings of the stream that was named, or of all: in place of those that cannot be used their error.

    Raises click.UsageError for a stream that there is not.
    """
    from engagement_platform.adapters.streams import streams
    from engagement_platform.domain.errors import EngagementError

    every: dict[str, Settings | EngagementError] = {}
    for name in streams() if stream is None else [stream]:
        try:
            every[name] = settings_of(name)
        except EngagementError as error:
            every[name] = error
    return every


def chosen(stream: str | None) -> str:
    """Return the name of the stream that was named, or of the default one: the packaged one, or the only one.

    Raises as `settings_of`.
    """
    from engagement_platform.adapters.streams import streams
    from engagement_platform.domain.errors import SettingsError

    present = streams()
    names = ", ".join(present)
    name = stream or (PACKAGED if PACKAGED in present else next(iter(present), "") if len(present) == 1 else "")
    if not name:
        raise click.UsageError(f"Say which stream is meant: --stream with one of {names}.")
    if name not in present:
        raise click.UsageError(f"There is no stream {name!r}. There are: {names}.")
    read = present[name]
    if isinstance(read, SettingsError):
        raise read
    return name
