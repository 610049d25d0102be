"""The sentence that comes first: whether all is well, and what is wrong since when, what that means, what to do.

Made from conditions and figures alone, so that it says what the alerts say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engagement_platform.console.serve.sampler import Sample, StreamSample
from engagement_platform.console.serve.texts import Texts
from engagement_platform.domain.conditions import Condition, Severity, is_well
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.judgement.partner import PARTNER
from engagement_platform.domain.leases import silence
from engagement_platform.domain.progress import DONE
from engagement_platform.health.read import Status

WELL = "well"
STALE_SECONDS = 20.0
"""A sample that is older says nothing of this moment any more. Two looks at a database that hangs take fourteen."""


def is_stale(sample: Sample, now: float) -> bool:
    """Say whether a sample is too old to say anything of this moment."""
    return now - sample.at > STALE_SECONDS


@dataclass(frozen=True, slots=True)
class Headline:
    """What is read first."""

    tone: str
    """well, warning, critical or unknown: the colour."""
    word: str
    """The same as a word."""
    sentence: str
    announced: str
    """The sentence without figures that change each second: what a screen reader speaks when it changes."""
    detail: str = ""
    """The same at length, with what a server answered, in its own words."""
    means: str = ""
    todo: str = ""
    page: str = ""
    stream: str = ""
    """Which it is about; empty for all."""
    others: tuple["Headline", ...] = ()
    """What else is wrong."""


def headline_of(sample: Sample, stream: str, texts: Texts, now: float, *, of_all: bool = False) -> Headline:
    """Return the sentence on one stream, with what is wrong with others and with all of them behind it.

    With `of_all` it is on all streams: what is wrong with any of them comes first.
    """
    concerned = [one for one in sample.conditions if of_all or one.stream in ("", stream)]
    elsewhere = [one for one in sample.conditions if one not in concerned]
    wrong = [_wrong(one, stream, texts, now) for one in (*concerned, *elsewhere)]
    if is_well(concerned):
        return _well(sample.streams[stream], texts, wrong, now)
    first, *others = wrong
    return replace(first, others=tuple(others))


def _well(stream: StreamSample, texts: Texts, others: Sequence[Headline], now: float) -> Headline:
    if isinstance(stream.status, EngagementError):  # which is a condition as soon as it was read
        unread = texts("now.sentence.not_read")
        return Headline("unknown", texts("now.word.unknown"), unread, unread, others=tuple(others))
    sentence = _flows(stream.status, texts) if stream.status.somebody_streams else _rests(stream.status, texts, now)
    return Headline(WELL, texts("now.word.well"), sentence, texts("now.sentence.well"), others=tuple(others))


def _flows(status: Status, texts: Texts) -> str:
    """Return how many events flow, and after how long they are in Redis."""
    loops = status.loops
    rate = loops["relay"].figures.gauge(DONE) if "relay" in loops else None
    latency = loops["tally"].latency(0.5) if "tally" in loops else None
    if rate is None or rate < 0.05 or latency is None:
        return texts("now.sentence.well_quiet")
    shown = texts.number(rate, 0 if rate >= 9.5 else 1)
    return texts("now.sentence.well_flows", rate=shown, latency=texts.duration(latency))


def _rests(status: Status, texts: Texts, now: float) -> str:
    """Return since when nobody streams, of a stream that is drained now and then."""
    snapshot = status.snapshot
    lease = snapshot.lease
    if lease is None:
        return texts("now.sentence.rests_since_ever")
    ended = lease.released_at or snapshot.now - silence(snapshot, lease)
    return texts("now.sentence.rests", since=texts.clock(ended.timestamp(), now))


def _wrong(condition: Condition, stream: str, texts: Texts, now: float) -> Headline:
    tone = "critical" if condition.severity is Severity.CRITICAL else "warning"
    title = title_of(condition, texts)
    if condition.stream not in ("", stream):
        title = texts("now.sentence.elsewhere", stream=condition.stream, what=title)
    sentence = _with_time(title, condition, texts, now)
    means, todo, detail = explained(condition, texts)
    return Headline(
        tone, texts(f"now.word.{tone}"), sentence, title, detail, means, todo, condition.page, condition.stream
    )


def _with_time(title: str, condition: Condition, texts: Texts, now: float) -> str:
    """Return the title with since when, and how many events wait where that is known."""
    length = now - condition.since
    sentence = texts("now.sentence.since", what=title, since=texts.clock(condition.since, now))
    if length >= _WORTH_SAYING:
        sentence = texts("now.sentence.for", sentence=sentence, length=texts.duration(length))
    waiting = condition.values.get("waiting", "")
    if condition.severity is not Severity.CRITICAL or waiting in ("", "0"):
        return sentence
    key = "now.sentence.wait" if condition.form in _COULD_LOSE else "now.sentence.wait_safely"
    return texts(key, sentence=sentence, n=texts.number(int(waiting)))


_WORTH_SAYING = 5.0
_COULD_LOSE = frozenset({"stopped"})


def title_of(condition: Condition, texts: Texts) -> str:
    """Return in a few words what is wrong; what a server answered is left to the detail."""
    key = f"conditions.{condition.form}.title"
    if not texts.has(key):
        return condition.what.rstrip(".")
    given = {name: texts.isolated(value) for name, value in condition.values.items()}
    loops = [texts(f"now.loop.{loop}") if texts.has(f"now.loop.{loop}") else loop for loop in condition.loops]
    destination = condition.values.get("destination", "")
    given |= {
        "ways": ", ".join(loops),
        "place": server_in_words(name, texts) if (name := _AS_SERVERS.get(destination)) else texts.place(destination),
        "reason": texts.isolated(condition.values.get("reason", "").partition(" (")[0].rstrip(".")),
        "server": server_in_words(condition.values.get("server", ""), texts),
    }
    title = texts(key, **given)
    return title[:1].upper() + title[1:]


def server_in_words(server: str, texts: Texts) -> str:
    """Return the name of a server; of one without an address in the language of the texts."""
    key = f"now.server.{_SERVERS.get(server, '')}"
    return texts(key) if texts.has(key) else texts.isolated(server)


_SERVERS = {
    "the source": "source",
    "the platform database": "platform",
    "the warehouse": "warehouse",
    PARTNER: "partner",
}


_AS_SERVERS = {"warehouse": "the warehouse", "partner": PARTNER}
"""Destinations whose name above their box does not read well within a sentence."""


def explained(condition: Condition, texts: Texts) -> tuple[str, str, str]:
    """Return what it means, what to do, and the condition's own words where they say more than the title.

    Fixed texts are translated; what a server answered stays in the detail, as it came.
    """
    if texts.language == "en":
        return condition.means, condition.todo, condition.what
    means, todo = (
        texts(key) if texts.has(key := f"conditions.{condition.form}.{part}") else "" for part in ("means", "todo")
    )
    return means, todo, " ".join(filter(None, (condition.what, condition.means, condition.todo)))
