"""What reads and fills which data, and when: what is told to a catalog that speaks OpenLineage."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid5

from engagement_platform.domain.places import Place

_SPACE = UUID("6f7c6a1e-3f0e-5f0a-9d4e-52a1c8a0b7d3")
"""Within which names make ids that are always the same."""


class Stage(StrEnum):
    """Where in its life a run is."""

    START = "START"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


@dataclass(frozen=True, slots=True)
class Field:
    """A column, and what it is made from."""

    name: str
    type: str = ""
    meaning: str = ""
    made_from: tuple[tuple[Place, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table, a topic, a keyspace, or what an API is sent."""

    place: Place
    fields: tuple[Field, ...] = ()
    rows: int | None = None
    """Of an output: how many the run has written, where that is known."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event about a run of a job."""

    stage: Stage
    at: float
    """Seconds since 1970."""
    job: str
    run_id: str
    meaning: str = ""
    is_streaming: bool = False
    owners: tuple[str, ...] = ()
    parent: tuple[str, str] | None = None
    """Job and id of the run that this one is part of."""
    day: str = ""
    error: str = ""
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def id_of(run_id: str, part: str = "") -> str:
    """Return the id of a run, or of a part of it such as a loop: a UUID, as the catalog wants it, always the same."""
    if not part:
        with suppress(ValueError):
            return str(UUID(run_id))
    return str(uuid5(_SPACE, f"{run_id}/{part}"))


@dataclass(frozen=True, slots=True)
class Streaming:
    """What was told of the run that streams."""

    run_id: str = ""
    since: float = 0.0
    told_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be told of a run that streams, or has streamed."""

    stage: Stage
    run_id: str
    at: float


def steps(before: Streaming, run_id: str, since: float, now: float, every: float) -> tuple[list[Step], Streaming]:
    """Return what is to be told now, and what to remember then; `run_id` is empty while nobody streams.

    A run that another one follows has ended well: that is how the stream goes on.
    """
    told: list[Step] = []
    if before.run_id and before.run_id != run_id:
        told.append(Step(Stage.COMPLETE, before.run_id, since if run_id else now))
    if not run_id:
        return told, Streaming()
    if before.run_id != run_id:
        told.append(Step(Stage.START, run_id, since))
        return told, Streaming(run_id, since, now)
    if now - before.told_at < every:
        return told, before
    return [Step(Stage.RUNNING, run_id, now)], Streaming(run_id, before.since, now)


def fields_of(
    columns: Mapping[str, tuple[str, str]],
    lineage: Mapping[str, tuple[tuple[str, str], ...]],
    places: Mapping[str, Place],
) -> tuple[Field, ...]:
    """Return columns, name -> type and meaning, with what they are made from: a table's name, and its place."""
    return tuple(
        Field(
            name,
            kind,
            meaning,
            tuple((places[table], column) for table, column in lineage.get(name, ()) if table in places),
        )
        for name, (kind, meaning) in columns.items()
    )
