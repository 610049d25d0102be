"""How long events took from their commit to each destination: the last hour, as the plots of the page show it."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from engagement_platform.console.serve.api.operation import PREFIX, Asked, OfStream, Operation, stream_of
from engagement_platform.console.serve.api.status import time_of
from engagement_platform.domain.errors import EngagementError
from engagement_platform.stream.registry import LOOPS


class LatencyParameters(OfStream, frozen=True, kw_only=True):
    """A stream, and how far back."""

    minutes: Annotated[int, Meta(ge=1, le=60, description="How far back.")] = 60


class Moment(msgspec.Struct, frozen=True):
    """The figures of one moment; of a figure that was not known, null."""

    at: datetime
    p50_seconds: Annotated[
        float | None, Meta(description="Half of the last minute's events took no longer from commit to destination.")
    ]
    p99_seconds: float | None
    events_per_second: float | None


class LoopLatency(msgspec.Struct, frozen=True):
    """One destination."""

    loop: str
    destination: str
    promise_seconds: Annotated[float | None, Meta(description="Within so long an event is promised to arrive.")]
    moments: Annotated[list[Moment], Meta(description="The oldest first; since this process began, an hour at most.")]


class Latency(msgspec.Struct, frozen=True):
    """How long events took, an upper bound: a commit's time is known by the last look that did not see it."""

    stream: str
    as_of: datetime
    loops: list[LoopLatency]


def latency(asked: Asked[LatencyParameters, None]) -> Latency:
    """Return the last minutes."""
    name = stream_of(asked.site, asked.parameters.stream)
    sample = asked.site.sampler.look()
    stream = sample.streams[name]
    since = sample.at - 60 * asked.parameters.minutes
    points = [point for point in stream.points if point.at >= since]
    status = stream.status
    promises = {} if isinstance(status, EngagementError) else {one.name: one.promise for one in status.terms.expected}
    return Latency(
        stream=name,
        as_of=time_of(sample.at),
        loops=[
            LoopLatency(
                loop.name,
                loop.destination,
                promises.get(loop.name),
                [
                    Moment(
                        time_of(point.at),
                        point.p50.get(loop.name),
                        point.p99.get(loop.name),
                        point.rate.get(loop.name),
                    )
                    for point in points
                ],
            )
            for loop in LOOPS
        ],
    )


OPERATIONS = (
    Operation(
        "GET",
        f"{PREFIX}/latency",
        "latency",
        "How long events took, over the last hour",
        Latency,
        latency,
        LatencyParameters,
        of_sample=True,
    ),
)
