"""All settings of one stream, and each by its name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from engagement_platform.settings import sections
from engagement_platform.settings.section import STREAM, Section, Shared


class Settings(Section):
    """The effective configuration of one stream. Made from settings by name: `Settings.of(lease_seconds=60, …)`."""

    source: sections.Source
    platform: sections.Platform
    kafka: sections.Kafka
    redis: sections.Redis
    topics: sections.Topics
    relay: sections.Relay
    lease: sections.Lease
    views: sections.Views
    api: sections.Api
    deliveries: sections.Deliveries
    warehouse: sections.Warehouse
    bigquery: sections.BigQuery
    stage: sections.Stage
    history: sections.History
    page: sections.Page
    alert: sections.Alerting
    catalog: sections.Catalog
    logs: sections.Logs
    state_dir: Shared[Path] = Field(
        Path(".engagement"), description="Folder of the embedded local stack and of files in transit."
    )
    stream_folders: Shared[str] = Field(
        "",
        alias="streams",
        description="Folders of further streams, with : between: each is read for one stream beside `engagement`.",
    )
    packaged_stream: Shared[Literal["on", "off"]] = Field(
        "on", description="Whether `engagement` is a stream, without a folder in ENGAGEMENT_STREAMS: on or off."
    )

    @model_validator(mode="before")
    @classmethod
    def _in_sections(cls, by_name: dict[str, Any]) -> dict[str, Any]:
        """Hand all settings to each section, which takes its own."""
        if unknown := by_name.keys() - FIELDS.keys() - Section.model_fields.keys():
            raise KeyError(f"no settings: {', '.join(sorted(unknown))}")
        return by_name | dict.fromkeys(SECTIONS, by_name)

    @classmethod
    def of(cls, **by_name: Any) -> Self:
        """Return the settings that have these values, and their defaults else. Raises ValidationError, KeyError."""
        return cls.model_validate(by_name)

    def replace(self, **by_name: Any) -> Self:
        """Return the settings with other values of some. Raises ValidationError, KeyError."""
        return self.of(**{"stream": self.stream, "overrides": self.overrides, **self.given(), **by_name})

    def __getitem__(self, name: str) -> Any:
        """Return a setting by its name. Raises KeyError."""
        section, field = PATHS[name]
        return getattr(self._section(section), field)

    def given(self) -> dict[str, Any]:
        """Return name -> value of every setting that was set."""
        return {
            name: self[name]
            for name, (section, field) in PATHS.items()
            if field in self._section(section).model_fields_set
        }

    def _section(self, name: str) -> Section:
        """Return a section; the settings themselves where the name is empty."""
        section: Section = getattr(self, name) if name else self
        return section

    def variable_of(self, name: str) -> str:
        """Return the environment variable that sets a setting for this stream. Raises KeyError."""
        section, field = PATHS[name]
        return self._section(section).variable(field)

    @property
    def own_dir(self) -> Path:
        """Folder of files that stand for this stream: the state folder, or one of its own in that."""
        return self.state_dir if self.stream == STREAM else self.state_dir / "streams" / self.stream

    @property
    def effective_stage_seconds(self) -> float:
        """Longest age of a warehouse batch, in seconds.

        BigQuery takes so many changes of a table a day, which shards have to share.
        """
        of_bigquery = 30.0 * max(1.0, self.lease.shards / 4)
        return self.stage.seconds or {"delta": 5.0, "bigquery": of_bigquery}[self.warehouse.kind]

    @property
    def effective_warehouse_uri(self) -> str:
        """Folder, URL or project.dataset of the warehouse."""
        return self.warehouse.uri or str((self.state_dir / "warehouse").absolute())


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def _fields() -> Iterator[tuple[str, str, str, FieldInfo]]:
    """Yield every setting's name, its section ("" for none), and its field there."""
    models: Mapping[str, type[Section]] = {**SECTIONS, "": Settings}
    for section, model in models.items():
        for field, info in model.model_fields.items():
            if field not in Section.model_fields and (section or field not in SECTIONS):
                yield info.alias or field, section, field, info


PATHS: Mapping[str, tuple[str, str]] = {name: (section, field) for name, section, field, _ in _fields()}
"""Name of a setting -> its section, "" for none, and its name there."""
FIELDS: Mapping[str, FieldInfo] = {name: info for name, _, _, info in _fields()}
"""Every setting by its name, in the order of the sections."""
OWN = frozenset(name for name, info in FIELDS.items() if "own" in info.metadata)
SECRET = tuple(name for name, info in FIELDS.items() if "SecretStr" in str(info.annotation))
"""Names of the settings that are secret: the variable of each may also name a file, as ENGAGEMENT_X_FILE."""
SHARED = frozenset(name for name, info in FIELDS.items() if "shared" in info.metadata)


def default_of(name: str, stream: str = STREAM) -> Any:
    """Return what a setting is when nobody sets it; PydanticUndefined when it must be set."""
    return FIELDS[name].get_default(call_default_factory=True, validated_data={"stream": stream})
