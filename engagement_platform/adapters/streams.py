"""Reads the folders of streams."""

import tomllib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from engagement_platform.adapters.sql import bare
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event import ENGAGEMENT
from engagement_platform.domain.event_stream import EventStream, stream_of
from engagement_platform.domain.json_schema import json_schema_of


@cache
def packaged() -> EventStream:
    """Return the stream `engagement`, which comes with the package."""
    return read(resources.files("engagement_platform").joinpath("streams", "engagement"))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the messages of `engagement`, with the meaning of each field."""
    return json_schema_of(ENGAGEMENT, packaged().name, packaged().meanings)


def read(folder: Traversable) -> EventStream:
    """Return the stream of a folder. Raises SettingsError naming the file at fault."""
    path = folder.joinpath("stream.toml")
    try:
        toml = tomllib.loads(path.read_text(encoding="utf-8"))
        enriched = bare(folder.joinpath("enriched.sql").read_text(encoding="utf-8"), keep_lines=True)
        marts = {name: bare(text) for name, text in _marts(folder)}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}.", "Mend the line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The stream's folder {folder} cannot be read: {error}.", "It must have stream.toml and enriched.sql."
        ) from error
    return stream_of(toml, enriched, marts, str(path))


def _marts(folder: Traversable) -> list[tuple[str, str]]:
    marts = folder.joinpath("marts")
    files = sorted(marts.iterdir(), key=lambda file: file.name) if marts.is_dir() else []
    return [
        (file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    ]
