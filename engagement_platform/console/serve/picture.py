"""The picture of a stream: source, Kafka, Redis, warehouse and partner, with what passes between them in words.

Pure: from a sample to what the template shows.
"""

from dataclasses import dataclass

from engagement_platform.console.serve.headline import server_in_words
from engagement_platform.console.serve.sampler import StreamSample
from engagement_platform.console.serve.texts import UNKNOWN, Texts
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.judgement.partner import PARTNER
from engagement_platform.domain.loop_state import Activity, LoopState, Pause
from engagement_platform.domain.progress import DONE
from engagement_platform.domain.status import LoopStatus
from engagement_platform.health.read import Status
from engagement_platform.stream.registry import LOOPS

SOURCE = "source"
_SERVERS = {
    SOURCE: ("source", "postgresql"),
    "kafka": ("kafka",),
    "redis": ("redis",),
    "warehouse": ("warehouse", "bigquery", "delta"),
    "partner": ("partner", "http"),
}
"""Place -> what the name of its server has in it, as loops name the server that they wait for."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What passes between two places: the work of one loop."""

    loop: str
    begin: str
    """Place where events come from: source or kafka."""
    end: str
    tone: str
    """well, idle, warning or critical."""
    state: str
    """In words."""
    reason: str
    """Why it stands still, in the server's words; empty while it does not."""
    rate: str
    lag: str
    latency: str
    slowest: str
    flows: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A server, or where events come to rest."""

    name: str
    tone: str
    state: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole picture."""

    places: dict[str, Place]
    hops: dict[str, Hop]
    """Destination -> the way there."""

    @property
    def sinks(self) -> tuple[str, ...]:
        """Where events come to rest, in the order of people: Redis first, sinks of one's own last."""
        own = sorted(self.hops.keys() - _SERVERS.keys())
        return (*(name for name in _SERVERS if name in self.hops and name != "kafka"), *own)


def picture_of(stream: StreamSample, texts: Texts, now: float) -> Picture:
    """Return the picture of a stream. Where nothing can be read every part says so."""
    hops = {loop.destination: _hop(loop.name, loop.destination, stream.status, texts, now) for loop in LOOPS}
    names = (SOURCE, *hops)
    return Picture({name: _place(name, stream.status, hops, texts) for name in names}, hops)


def _hop(loop: str, destination: str, status: Status | EngagementError, texts: Texts, now: float) -> Hop:
    begin = SOURCE if destination == "kafka" else "kafka"
    if isinstance(status, EngagementError):
        return Hop(loop, begin, destination, "unknown", texts("now.state.unknown"), "", *(UNKNOWN,) * 4, flows=False)
    present, pause = status.loops.get(loop), status.pauses.get(loop)
    if pause is None and not status.somebody_streams:  # what loops told last is not so any more
        tone = "critical" if status.terms.is_kept_alive else "idle"
        return Hop(loop, begin, destination, tone, texts("now.state.nobody"), "", *(UNKNOWN,) * 4, flows=False)
    tone, state = _state(present, pause, texts, now)
    if pause is None and (left := status.left(loop)):
        tone, state = "critical", texts("now.state.left", shards=", ".join(map(str, left)))
    flows = (
        present is not None and not present.is_silent and (present.figures.gauge(DONE) or 0) > 0 and tone != "critical"
    )
    reason = ""
    if tone not in ("well", "idle") and present is not None and present.state is not None and pause is None:
        reason = present.state.reason
    return Hop(loop, begin, destination, tone, state, reason, *_figures(present, texts), flows=flows)


def _figures(present: LoopStatus | None, texts: Texts) -> tuple[str, str, str, str]:
    """Return rate, lag and latencies in words; dashes for what is not known."""
    if present is None or present.is_silent or present.ended:
        return (UNKNOWN,) * 4
    rate = present.figures.gauge(DONE)
    return (
        texts.number(rate, 1 if rate is not None and 0 < rate < 9.5 else 0),
        texts.number(present.lag),
        texts.duration(present.latency(0.5)),
        texts.duration(present.latency(0.99)),
    )


def _state(present: LoopStatus | None, pause: Pause | None, texts: Texts, now: float) -> tuple[str, str]:
    """Return tone and words of what a loop does."""
    if pause is not None:
        return "warning", texts(
            "now.state.paused", who=texts.isolated(pause.who), since=texts.clock(pause.since.timestamp(), now)
        )
    if present is None:
        return "critical", texts("now.state.not_begun")
    if present.ended:
        return "idle", texts("now.state.ended")
    if present.is_silent:
        return "critical", texts("now.state.silent", length=texts.duration(present.silent_seconds))
    state = present.state
    if state is None:
        return "well", texts("now.state.streams")
    return _TONES[state.kind], _words(state, texts, now)


_TONES = {
    Activity.STARTS: "idle",
    Activity.STREAMS: "well",
    Activity.SATURATED: "critical",
    Activity.GIVES_WAY: "well",
    Activity.WAITS: "critical",
    Activity.REFUSED: "critical",
    Activity.PAUSED: "warning",
    Activity.STOPPED: "critical",
    Activity.STANDS_BY: "idle",
    Activity.IDLE: "idle",
}


def _words(state: LoopState, texts: Texts, now: float) -> str:
    key = state.kind.name.lower()
    since = texts.clock(state.since, now)
    if state.subject and texts.has(f"now.state.{key}_for"):
        return texts(f"now.state.{key}_for", subject=server_in_words(state.subject, texts), since=since)
    return texts(f"now.state.{key}", since=since, who=texts.isolated(state.subject))


def _place(name: str, status: Status | EngagementError, hops: dict[str, Hop], texts: Texts) -> Place:
    """Return a place. It is at fault where a loop that uses it says so of it."""
    if isinstance(status, EngagementError):
        return Place(name, "unknown", texts("now.place.unknown"))
    told = status.loops.values() if status.somebody_streams else ()
    kinds = {
        loop.state.kind
        for loop in told
        if not loop.is_silent and loop.state is not None and _is_about(loop.state, name)
    }
    if kinds & {Activity.REFUSED, Activity.STOPPED}:
        return Place(name, "critical", texts("now.place.refuses"))
    if Activity.WAITS in kinds:
        is_partner = name == "partner"  # which may answer, and that it is not well
        return Place(name, "critical", texts("now.place.takes_nothing" if is_partner else "now.place.away"))
    return _place_that_nobody_blames(name, hops, texts, somebody_streams=bool(told))


def _place_that_nobody_blames(name: str, hops: dict[str, Hop], texts: Texts, *, somebody_streams: bool) -> Place:
    tone = hops[name].tone if name in hops else "well"
    if tone in ("critical", "unknown"):
        return Place(name, "idle", texts("now.place.behind"))
    if tone == "idle" or not somebody_streams:
        return Place(name, "idle", "")
    return Place(name, "well", texts("now.place.answers"))


def _is_about(state: LoopState, place: str) -> bool:
    if state.kind is Activity.STOPPED and not state.subject:
        return place == "partner" and PARTNER in f"{state.reason[:1].lower()}{state.reason[1:]}"
    subject = state.subject.lower()
    return any(word in subject for word in _SERVERS.get(place, (place,)))
