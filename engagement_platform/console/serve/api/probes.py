"""What a load balancer, Kubernetes or a monitor asks: whether this process lives, can answer, and the stream does well.

- `/livez`: 200 while the process reads; 503 when its reading has stood still for a minute, which a restart mends.
- `/readyz`: 200 once it has read and goes on reading. It does not look at what it has read: a page that says that the
  partner is down must not be taken away because the partner is down.
- `/healthz/stream`: 503 while a promise of a stream is not kept, for monitors that know statuses only. Never let it
  decide over this process, nor over the stream's: both are right to go on.
"""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from engagement_platform.console.serve.api.operation import Asked, OfStream, Operation, stream_of
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.console.serve.api.status import ConditionNow, condition_now, time_of
from engagement_platform.domain.conditions import Severity, promises_kept

if TYPE_CHECKING:
    from engagement_platform.console.serve.sampler import Sample

LIVES_SECONDS = 60.0
"""An idle page reads every five seconds, and a server that hangs costs seven of a stream."""
READY_SECONDS = 30.0


class Probe(msgspec.Struct, frozen=True):
    """The process reads."""

    as_of: Annotated[datetime, Meta(description="When it last read how the streams stand.")]
    age_seconds: float


class StreamProbe(msgspec.Struct, frozen=True):
    """All promises are kept."""

    as_of: datetime
    warnings: Annotated[list[ConditionNow], Meta(description="What somebody has to act on all the same.")]


def livez(asked: Asked[Any, None]) -> Probe:
    """Say whether the process lives."""
    sampler = asked.site.sampler
    if sampler.silent_seconds > LIVES_SECONDS:
        raise _stands_still(sampler.silent_seconds, "Start it again: engagement-platform serve.")
    return _probe(sampler.latest)


def readyz(asked: Asked[Any, None]) -> Probe:
    """Say whether the page can answer truthfully."""
    sample = asked.site.sampler.latest
    if sample.number == 0:
        raise Refusal(503, "not-read", "Nothing has been read yet since this process began.", "Wait some seconds.")
    probe = _probe(sample)
    if probe.age_seconds > READY_SECONDS:
        raise _stands_still(probe.age_seconds, "/livez says whether to start the process again.")
    return probe


def stream_health(asked: Asked[OfStream, None]) -> StreamProbe:
    """Say whether the promises of a stream, or of all, are kept."""
    readyz(asked)
    sample = asked.site.sampler.latest
    name = asked.parameters.stream and stream_of(asked.site, asked.parameters.stream)
    conditions = [one for one in sample.conditions if not name or one.stream in ("", name)]
    if not promises_kept(conditions):
        critical = [one for one in conditions if one.severity is Severity.CRITICAL]
        more = f" And {len(critical) - 1} more: /api/v1/conditions." if len(critical) > 1 else ""
        raise Refusal(503, "promise-not-kept", f"{critical[0].what}{more}", critical[0].todo)
    return StreamProbe(time_of(sample.at), [condition_now(one) for one in conditions])


def _probe(sample: "Sample") -> Probe:
    return Probe(time_of(sample.at), max(0.0, time.time() - sample.at))


def _stands_still(seconds: float, todo: str) -> Refusal:
    return Refusal(503, "stands-still", f"This process has read nothing for {seconds:.0f} s.", todo)


OPERATIONS = (
    Operation(
        "GET",
        "/livez",
        "livez",
        "Whether this process lives",
        Probe,
        livez,
        quick=True,
        refusals={503: "It has read nothing for a minute: start it again."},
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        "Whether this process can answer truthfully",
        Probe,
        readyz,
        quick=True,
        refusals={503: "It has read nothing yet, or for half a minute: ask another one."},
    ),
    Operation(
        "GET",
        "/healthz/stream",
        "stream_health",
        "Whether the streams keep their promises",
        StreamProbe,
        stream_health,
        OfStream,
        quick=True,
        refusals={503: "A promise is not kept; or nothing was read lately. The text says which."},
    ),
)
