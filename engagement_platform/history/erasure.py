"""Erases the copies of a user at every sink, once the user is gone from the source, and keeps the record of it.

Each step may be done again: whoever is killed in between runs the command once more, and the same record goes on. The
order is the proof: the days are rebuilt first, so that the warehouse takes no event of the user any more, be it still
in Kafka; what the partner is told waits until forward has settled all that was published before.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged
from engagement_platform.adapters.kafka.dead_letters import open_dead_letters
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.topics import shown_topics
from engagement_platform.adapters.partner import secrets
from engagement_platform.adapters.partner.client import Partner
from engagement_platform.adapters.platform.erasures import Erasures, Waiting
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.domain.delivery.outcome import Request, Verdict, judge
from engagement_platform.domain.disclosure import Disclosure
from engagement_platform.domain.erasures import (
    Erasure,
    SinkOutcome,
    State,
    mark_of,
    message,
    partners_id,
    rest,
    texts_of,
)
from engagement_platform.domain.users import user_column, user_value
from engagement_platform.history.erase import remains
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import history_of
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.stage.batch_files import erase_rejected, folder_of

log = logging.getLogger(__name__)

WAREHOUSE, DELIVERIES, REJECTED = "warehouse", "record of deliveries", "files of rejected messages"
LETTERS, PARTNER = "dead letters", "partner"


@dataclass(frozen=True, slots=True)
class User:
    """Whom an erasure is for."""

    value: str | int
    """The id as the warehouse has it."""
    mark: str
    texts: Sequence[str]
    """What stands for the user in what was sent and kept."""
    partners: str | int | None
    """By what the partner knows the user; None where it knows none, and where there is no partner."""


def user_of(settings: Settings, user_id: str) -> User:
    """Return whom an id means. Raises EngagementError for what is none, and SettingsError."""
    column = user_column(stream_of(settings), history_of(settings).whole)
    value = user_value(column, user_id)
    partners = None
    if settings.api.url.get_secret_value():
        partners = partners_id(_disclosure(settings), value)
    return User(value, mark_of(settings.stream, value), texts_of(column.name, value, partners), partners)


def erase_everywhere(
    settings: Settings, user: User, days: Sequence[date], who: str, rebuild: Callable[[], object]
) -> Erasure:
    """Erase a user's copies and return the record; `rebuild` makes the days of the warehouse anew that hold the user.

    Raises EngagementError where a step fails: what was done is in the record, and the next call goes on.
    """
    ensure_schema(settings)
    with Erasures.opened(settings, "erase") as erasures:
        number = erasures.begin(user.mark, who)
        rebuild()
        erasures.note(number, {WAREHOUSE: _days_in_words(days)})
        erasures.note(number, {DELIVERIES: _counted(erasures.forget_bodies(user.texts), "requests")})
        lines = erase_rejected(folder_of(settings), user.texts)
        erasures.note(number, {REJECTED: _counted(lines, "lines of this machine's")})
        erasures.note(number, {LETTERS: _letters(settings, user)} | _kept(settings, len(days) > 0))
        _tell(settings, erasures, number, user)
        erasures.end(number)
        (erasure,) = erasures.latest(1, user.mark)
    return erasure


def recorded(settings: Settings, n: int, user: User | None = None) -> list[Erasure]:
    """Return the newest erasures, or that of one user. Raises Unavailable."""
    ensure_schema(settings)
    with Erasures.opened(settings, "erasures") as erasures:
        return erasures.latest(n, None if user is None else user.mark)


def deliver_waiting(settings: Settings) -> int:
    """Tell the partner of erasures that it has not taken yet; return how many it took. One query where none waits."""
    with Erasures.opened(settings, "erasures") as erasures:
        return sum(_deliver(settings, erasures, one) for one in erasures.waiting())


def _tell(settings: Settings, erasures: Erasures, number: int, user: User) -> None:
    if user.partners is None:
        why = "there is no partner" if not settings.api.url.get_secret_value() else "it gets no ids of users"
        erasures.note(number, {PARTNER: SinkOutcome(State.NOTHING, why)})
        return
    body = message(_disclosure(settings), user.partners, datetime.now(UTC))
    erasures.wait(number, body, _ends(settings), {PARTNER: SinkOutcome(State.WAITING)})
    for waiting in erasures.waiting(number):
        if waiting.number == number:
            _deliver(settings, erasures, waiting)


def _deliver(settings: Settings, erasures: Erasures, waiting: Waiting) -> bool:
    """Send one message, or say why not yet. It has the same id each time: the partner takes it once."""
    if not settings.api.url.get_secret_value():
        return _again(erasures, waiting, f"{settings.api.variable('url')} is not set any more", None)
    if not _is_settled(settings, waiting.after):
        return _again(erasures, waiting, "events that were published before wait for the partner", None)
    with closing(Partner(settings.api)) as partner:
        outcome = judge(partner.send(Request(waiting.message_id, waiting.message.encode())), datetime.now(UTC))
    if outcome.verdict is Verdict.DELIVERED:
        erasures.told(waiting.number, {PARTNER: SinkOutcome(State.TOLD, f"under {waiting.message_id}")})
        return True
    log.warning("The partner has not taken the erasure %s: %s", waiting.message_id, outcome.reason)
    return _again(erasures, waiting, outcome.reason, outcome.retry_after)


def _again(erasures: Erasures, waiting: Waiting, why: str, asked: float | None) -> bool:
    erasures.again(waiting.number, rest(waiting.tries, asked), why, {PARTNER: SinkOutcome(State.WAITING, why)})
    return False


def _topics(settings: Settings) -> list[str]:
    """Return the topics from which the partner is sent events."""
    topics = settings.topics.events, settings.topics.replays
    shown = shown_topics(settings.kafka, *topics)
    return [topic for topic in topics if topic in shown]


def _ends(settings: Settings) -> dict[str, dict[int, int]]:
    ends = {}
    for topic in _topics(settings):
        with closing(GroupReader(settings.kafka, topic, settings.topics.forward_group)) as reader:
            ends[topic] = reader.end_offsets()
    return ends


def _is_settled(settings: Settings, after: Mapping[str, Mapping[str, int]]) -> bool:
    """Say whether forward has settled all messages that lie before certain offsets."""
    for topic in _topics(settings):
        ends = {int(partition): offset for partition, offset in after.get(topic, {}).items()}
        with closing(GroupReader(settings.kafka, topic, settings.topics.forward_group)) as reader:
            try:
                if _has_messages(reader, ends):
                    return False
            except (TopicChanged, OffsetsExpired):
                continue  # what was meant is gone
    return True


def _has_messages(reader: GroupReader, ends: Mapping[int, int]) -> bool:
    """Say whether there is a message between where the group stands and the ends; marks of transactions are none."""
    stored, oldest = reader.stored(), reader.beginning_offsets()
    begins = {
        partition: max(oldest.get(partition, 0), stored[partition].offset if partition in stored else 0)
        for partition in ends
    }
    begins = {partition: begin for partition, begin in begins.items() if begin < ends[partition]}
    if not begins:
        return False
    reader.seek(begins)
    while any(reader.positions()[partition] < ends[partition] for partition in begins):
        for partition, records in reader.poll(200).items():
            if any(record.offset < ends[partition] for record in records):
                return True
    return False


def _letters(settings: Settings, user: User) -> SinkOutcome:
    """Say which dead letters name the user: Kafka cannot take single ones out."""
    if not shown_topics(settings.kafka, settings.topics.dead_letters):
        return SinkOutcome(State.NOTHING)
    with open_dead_letters(settings.kafka, settings.topics.dead_letters) as reader:
        found = [
            str(letter.address)
            for letter in reader.between(None)
            if any(text in said for text in user.texts for said in _said(letter.content))
        ]
    if not found:
        return SinkOutcome(State.NOTHING)
    named = f"{', '.join(found[:20])}{' and more' if len(found) > 20 else ''}"
    return SinkOutcome(State.KEPT, f"{len(found)} letters: {named}")


def _said(letter: DeadLetter) -> Sequence[str]:
    return bytes(letter.event).decode("utf-8", "replace"), letter.excerpt, letter.response or ""


def _kept(settings: Settings, had_days: bool) -> dict[str, SinkOutcome]:
    """Return what is kept where single copies cannot be erased, and until when."""
    history = "the warehouse's history of replaced rows"
    return {
        place: SinkOutcome(State.KEPT, until=until)
        for place, until in remains(settings, datetime.now(UTC)).items()
        if place != history or had_days
    }


def _days_in_words(days: Sequence[date]) -> SinkOutcome:
    if not days:
        return SinkOutcome(State.NOTHING)
    return SinkOutcome(State.ERASED, f"{len(days)} days made anew, {min(days)} to {max(days)}")


def _counted(number: int, what: str) -> SinkOutcome:
    return SinkOutcome(State.ERASED, f"{number} {what}") if number else SinkOutcome(State.NOTHING)


def _disclosure(settings: Settings) -> Disclosure:
    return secrets.disclosure(settings.api, Readers(settings).schema.names, stream_of(settings).user, settings.stream)


def in_words(outcome: SinkOutcome) -> str:
    """Return an outcome as a line for people."""
    until = (
        ""
        if outcome.state is not State.KEPT
        else (", until somebody removes it" if outcome.until is None else f", until {outcome.until:%Y-%m-%d %H:%M} UTC")
    )
    return f"{outcome.state}{f': {outcome.note}' if outcome.note else ''}{until}"
