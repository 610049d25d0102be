"""What a section of settings is, and which variable of the environment sets a field of it.

A setting's name is its variable's without ENGAGEMENT_, in small letters: `lease_seconds`. In a section it is shorter by
what the section says already: `settings.lease.seconds`. A section is made from all settings by name, and takes its own.

Settings are those of one stream. Another stream than the packaged one takes over what it does not set by itself, but
nothing that is `Own`; nobody sets for himself what is `Shared`.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from engagement_platform.domain.stream_names import PACKAGED

PREFIX = "ENGAGEMENT_"
STREAM = PACKAGED
"""The stream that comes with the package."""
T = TypeVar("T")
Own = Annotated[T, "own"]
"""What stands for one stream: no stream takes it over from another."""
Shared = Annotated[T, "shared"]
"""What is the same for all streams."""


def variable(name: str, stream: str = STREAM) -> str:
    """Return the environment variable of a setting; of another stream the one that only this stream looks at."""
    return PREFIX + (name if stream == STREAM else f"{stream}__{name}").upper()


class Section(BaseModel):
    """Settings of one stream that belong together."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)

    stream: str = Field(STREAM, alias="stream", repr=False)
    overrides: frozenset[str] = Field(frozenset(), alias="overrides", repr=False)
    """Names of the settings that the stream has for itself."""

    def variable(self, field: str) -> str:
        """Return the environment variable that sets a field for this stream."""
        info = type(self).model_fields[field]
        name = info.alias or field
        return variable(name, self.stream if name in self.overrides or "own" in info.metadata else STREAM)


def named(form: str, **field: Any) -> Any:
    """Return a field that is named after the stream."""
    return Field(default_factory=lambda data: form.format(stream=data["stream"]), **field)
