"""What a stream reads and keeps up to date, as assets without a compute function: lineage, and plotted figures.

Nothing here can be materialized from the UI; the ops of the stream's job report what they have done.
"""

import re
from collections.abc import Iterable, Sequence

import dagster as dg

from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.stream_names import own_name
from engagement_platform.orchestration.stream_job import job_name
from engagement_platform.stream.registry import loop_named

SOURCE_GROUP = "source"
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
"""One part of a qualified name in SQL."""


def stream_group(stream: EventStream) -> str:
    """Return the group of what a stream keeps up to date."""
    return own_name(stream.name, "stream")


def source_key(table: str) -> dg.AssetKey:
    """Return the key of a table of the source, named as SQL writes it.

    Its last part says that it is the source's, for the lineage shows no other part: a topic and a table of the
    warehouse are named after the same table.
    """
    parts = [re.sub("[^A-Za-z0-9_]", "_", part) for part in _parts(table)]
    return dg.AssetKey(["postgres", *parts[:-1], "_".join([*parts, "source"])])


def bare_name(table: str) -> str:
    """Return the name of a table, named as SQL writes it, without quotes."""
    return ".".join(_parts(table))


def _parts(table: str) -> list[str]:
    return ["".join(part) for part in _PART.findall(table)]


def source_keys(stream: EventStream) -> list[dg.AssetKey]:
    """Return the keys of the tables that a stream reads, each once."""
    return list(dict.fromkeys(source_key(table) for table in stream.tables))


def sources_of(streams: Iterable[EventStream]) -> list[dg.AssetSpec]:
    """Return the tables that streams read, each once, whichever of them read it."""
    streams = list(streams)
    events = {source_key(stream.source.name): stream for stream in streams}
    joined: dict[dg.AssetKey, list[str]] = {}
    for stream in streams:
        for key in source_keys(stream):
            if key not in events:
                joined.setdefault(key, []).append(stream.name)
    return [
        *(_source(key, f"Joined to the events of {', '.join(names)}.") for key, names in joined.items()),
        *(
            _source(
                key, f"The events of {stream.name}. {stream.meaning}", [k for k in source_keys(stream) if k in joined]
            )
            for key, stream in events.items()
        ),
    ]


def _source(key: dg.AssetKey, what: str, deps: Sequence[dg.AssetKey] = ()) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        description=f"{what} Owned by another team; only read here.",
        kinds={"postgres", "table"},
        group_name=SOURCE_GROUP,
    )


def streamed_of(stream: EventStream) -> list[dg.AssetSpec]:
    """Return what the loops of a stream keep up to date."""
    topic = _streamed(stream, "relay", "kafka", source_keys(stream))
    return [
        topic,
        _streamed(stream, "tally", "redis", [topic.key]),
        _streamed(stream, "stage", "json", [topic.key]),
        _streamed(stream, "forward", "api", [topic.key]),
    ]


def streamed_key(stream: EventStream, loop: str) -> dg.AssetKey:
    """Return the key of what a loop of a stream keeps up to date."""
    return dg.AssetKey(loop_named(loop).asset_of(stream))


def _streamed(stream: EventStream, name: str, kind: str, deps: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    """Return what a loop keeps up to date, as its entry in the registry tells."""
    return dg.AssetSpec(
        streamed_key(stream, name),
        deps=deps,
        description=loop_named(name).kept_of(stream),
        kinds={kind},
        group_name=stream_group(stream),
        metadata={
            "kept up to date by": dg.MetadataValue.job(job_name(stream.name), location_name="engagement_platform")
        },
    )
