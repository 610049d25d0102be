"""Reads the folders of streams: the packaged one, unless it is off, and those of ENGAGEMENT_STREAMS."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import chain, count
from pathlib import Path

from engagement_platform import settings as configuration
from engagement_platform.domain import event_stream
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.statement_text import statement_of, statement_of_bigquery
from engagement_platform.settings import STREAM, Settings, load, variable

_NAMES = {
    "topic": "Kafka topic",
    "checkpoint_topic": "Kafka topic",
    "dead_letter_topic": "Kafka topic",
    "replay_topic": "Kafka topic",
    "forward_group": "consumer group",
    "redis_namespace": "namespace of Redis",
}
"""Setting -> what it names."""


def _shared(settings: Settings, stream: EventStream, others: Settings, other: EventStream) -> SettingsError | None:
    """Return what is wrong with a stream beside another that was there before it; None when they share nothing."""
    taken = dict(_claims(others, other))
    for claim, by in _claims(settings, stream):
        if claim in taken:
            return SettingsError(
                f"The streams {other.name} and {stream.name} would both write to the {claim}: it is {taken[claim]} of"
                f" {other.name} and {by} of {stream.name}.",
                f"Name another one for {stream.name}, by {_remedy(settings, by)}; it does not stream meanwhile,"
                f" {other.name} does.",
            )
    return None


def _claims(settings: Settings, stream: EventStream) -> Iterator[tuple[str, str]]:
    """Yield each thing that a stream writes to, and the setting, or what in its folder, names it."""
    for name, kind in _NAMES.items():
        yield f"{kind} {settings[name]}", name
    # Also where the warehouses differ: Dagster knows a table by its name alone.
    yield f"table {stream.table}", "the table"
    for mart in stream.marts:
        yield f"table {mart}", f"mart {mart}"


def _remedy(settings: Settings, by: str) -> str:
    if by in _NAMES:
        return settings.variable_of(by)
    if by.startswith("mart "):
        return f"the name of its file marts/{by.removeprefix('mart ')}.sql"
    return "table under [warehouse] in its stream.toml"


_CHARACTERS = 32
"""Of a name that is made of a folder's: a number may come behind it."""
_SLIP = 0.9
"""How alike two names are, of 1, that are a slip of the finger apart."""

_PACKAGED = resources.files("engagement_platform").joinpath("streams", STREAM)


def streams() -> Mapping[str, EventStream | SettingsError]:
    """Return every stream by its name, `engagement` first; where its folder cannot be used, what is wrong with it.

    One whose folder says no name has its folder's. The folders are read once in a process.
    Raises SettingsError when there is no stream at all: the packaged one is off, and no other is named.
    """
    return _read_all(configuration.stream_folders(), has_packaged=configuration.has_packaged_stream())


def folder_of(name: str) -> Path | None:
    """Return the folder of a stream; None where its files lie in an archive, or no folder says that name."""
    for folder in configuration.stream_folders():
        if _name_in(folder) == name:
            return folder.absolute()
    return _PACKAGED if name == STREAM and isinstance(_PACKAGED, Path) else None


def stream_of(settings: Settings) -> EventStream:
    """Return the stream whose settings these are.

    Raises SettingsError when there is no such stream, its folder cannot be used, a variable of it seems to be misspelt,
    or it would write to what an earlier one writes to: a topic, keys, a consumer group, a table.
    """
    stream = stream_named(settings.stream)
    _require_heeded(settings.stream)
    for others, other in _before(settings.stream):
        if fault := _shared(settings, stream, others, other):
            raise fault
    return stream


def read(folder: Traversable) -> EventStream:
    """Return the stream of a folder. Raises SettingsError naming the file at fault."""
    path = folder.joinpath("stream.toml")
    try:
        toml = tomllib.loads(path.read_text(encoding="utf-8"))
        enriched = statement_of(folder.joinpath("enriched.sql").read_text(encoding="utf-8"))
        marts = {name: statement_of_bigquery(text) for name, text in _marts(folder)}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}.", "Mend the line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The stream's folder {folder} cannot be read: {error}.", "It must have stream.toml and enriched.sql."
        ) from error
    return event_stream.stream_of(toml, enriched, marts, str(path))


def _marts(folder: Traversable) -> list[tuple[str, str]]:
    marts = folder.joinpath("marts")
    files = sorted(marts.iterdir(), key=lambda file: file.name) if marts.is_dir() else []
    return [
        (file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    ]


@cache
def _read_all(folders: tuple[Path, ...], *, has_packaged: bool) -> Mapping[str, EventStream | SettingsError]:
    said = [_name_in(folder) for folder in folders]
    of: dict[str, Path] = {}
    listed: dict[str, EventStream | SettingsError] = {}
    for folder, name_said in zip(folders, said, strict=True):
        name = name_said or _name_beside({STREAM, *said, *listed}, folder.name)
        listed[name] = _twice(name, of[name], folder) if name in of else _stream_in(folder)
        of[name] = folder
    if has_packaged and STREAM not in listed:
        listed[STREAM] = read(_PACKAGED)
    if not listed:
        raise SettingsError(
            f"There is no stream: {variable('packaged_stream')} is off, and {variable('streams')} names no folder.",
            f"Name the folder of a stream in {variable('streams')}, or leave {variable('packaged_stream')} out.",
        )
    return {name: listed[name] for name in sorted(listed, key=lambda name: name != STREAM)}


def _name_in(folder: Path) -> str:
    """Return the name that a folder says; nothing where it says none that a stream could have."""
    try:
        name = tomllib.loads((folder / "stream.toml").read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError):  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        return ""
    return name if isinstance(name, str) and event_stream.is_name(name) else ""


def _name_beside(taken: Set[str], folder: str) -> str:
    """Return a name for a stream that says none: its folder's, as names may be, and not one that is taken."""
    name = re.sub("[^a-z0-9]+", "_", folder.lower()).strip("_")
    if not name[:1].isalpha():
        name = f"folder_{name}"
    name = name[:_CHARACTERS].strip("_")
    numbered = (f"{name}_{number}" for number in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


def _stream_in(folder: Path) -> EventStream | SettingsError:
    try:
        return read(folder)
    except SettingsError as error:
        return error


def _twice(name: str, folder: Path, other: Path) -> SettingsError:
    return SettingsError(
        f"The folders {folder} and {other} both have the stream {name}.",
        f"Take one out of {variable('streams')}, or name the other's stream otherwise in its stream.toml.",
    )


def stream_named(name: str) -> EventStream:
    """Return a stream by its name. Raises SettingsError."""
    stream = streams().get(name)
    if isinstance(stream, EventStream):
        return stream
    if stream is None:
        raise SettingsError(
            f"There is no stream {name}; there are {', '.join(streams())}.",
            f"{variable('streams')} names the folders of further streams."
            + (f" {STREAM} is off by {variable('packaged_stream')}." if name == STREAM else ""),
        )
    raise SettingsError(stream.what, stream.todo)


def strange_variables() -> list[SettingsError]:
    """Return what is wrong with each variable of a stream that is not there, unless it may be a broken folder's."""
    present = streams()
    if any(isinstance(stream, SettingsError) for stream in present.values()):
        return []
    return [
        SettingsError(
            f"{of} is of the stream {name}, which is not there; there are {', '.join(present)}.",
            f"Mend the name, take the variable away, or add the stream's folder to {variable('streams')}.",
        )
        for name, of in configuration.streams_with_settings().items()
        if name not in present
    ]


def _require_heeded(stream: str) -> None:
    """Raise SettingsError where a variable is for a stream that is not there, by a slip, and seems to be for this one.

    The packaged stream is never meant: its variables are the common ones.
    """
    present = streams()
    if stream == STREAM or any(isinstance(other, SettingsError) for other in present.values()):
        return
    for name, of in configuration.streams_with_settings().items():
        if name not in present and difflib.get_close_matches(name, present, n=1, cutoff=_SLIP) == [stream]:
            raise SettingsError(
                f"{of} is of the stream {name}, which is not there, and seems to be meant for {stream}.",
                f"Mend the name, or take the variable away; {stream} does not stream meanwhile, the others do.",
            )


def _before(name: str) -> Iterator[tuple[Settings, EventStream]]:
    """Yield the streams before one that can be used, with their settings."""
    for earlier, stream in streams().items():
        if earlier == name:
            return
        if isinstance(stream, EventStream):
            with suppress(SettingsError):
                yield configuration.load(earlier), stream


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
