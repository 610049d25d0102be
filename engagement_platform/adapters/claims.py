"""What a stream writes to, which no other stream may write to."""

from collections.abc import Iterator

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.settings import Settings

_NAMES = {
    "topic": "Kafka topic",
    "checkpoint_topic": "Kafka topic",
    "dead_letter_topic": "Kafka topic",
    "replay_topic": "Kafka topic",
    "forward_group": "consumer group",
    "redis_namespace": "namespace of Redis",
}
"""Setting -> what it names."""


def shared(settings: Settings, stream: EventStream, others: Settings, other: EventStream) -> SettingsError | None:
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
