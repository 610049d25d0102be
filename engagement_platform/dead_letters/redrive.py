"""Redrives dead letters: their events go to the partner's API again, or their days are rebuilt in the warehouse.

Each redrive is noted before it begins and closed after it: one that dies between is seen, and done again. So an event
is sent at least once. What the partner refuses again becomes a new letter.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

from engagement_platform.adapters.kafka.dead_letters import open_dead_letters
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_replay_topic, shown_topics, topic_configuration
from engagement_platform.adapters.platform.dead_letters import open_actions
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.adapters.source.history import Numbering, messages_of
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.domain.dead_letters import Address, Chosen, Letter
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.messages import HEADER_TO, TO_API, largest_value, schema_header
from engagement_platform.domain.redrive import Plan, SourceEvent, Targets, chunks, needs_source, plan, weight
from engagement_platform.settings import Settings, variable
from engagement_platform.stream import registry
from engagement_platform.stream.numbering import number_now
from engagement_platform.stream.readers import Readers

_MAX_LETTERS = 500
_MAX_BYTES = 16 << 20
"""Of the letters that are redriven together."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """What was done with a letter, or would be."""

    letter: Letter
    done: bool
    note: str


Tell = Callable[[Sequence[Redriven]], None]
Plans = Sequence[tuple[Letter, Plan]]


def redrive(
    settings: Settings, chosen: Chosen, who: str, why: str, tell: Tell = lambda _: None, *, dry_run: bool = False
) -> tuple[int, int]:
    """Redrive the letters that are meant; return how many were redriven and how many could not be.

    `tell` is called with what was done, some letters at a time. Nothing is written with `dry_run`. Raises Unavailable,
    and EngagementError while somebody else is at it: what was begun then counts as being redriven.
    """
    readers = Readers(settings)
    targets = _targets(settings, readers, creates=not dry_run)
    # A dry run sends nothing, so that it needs no number: a new one would be kept for ever.
    number_as: Numbering = (lambda _: 0) if dry_run else partial(number_now, settings)
    done = failed = 0
    with dead_letters_of(settings, alone=not dry_run) as letters:
        weighed = [(letter.address, weight(letter.content, targets)) for letter in letters.chosen(chosen)]
        for addresses in chunks(weighed, _MAX_LETTERS, _MAX_BYTES):
            plans = _plans(settings, _read(settings, addresses, letters.topic_id), targets, number_as)
            told = [Redriven(letter, not plan.fault, _note(settings, plan)) for letter, plan in plans]
            if not dry_run:
                letters.actions.begin("redrive", [letter for letter, _ in plans], who, why)
                _carry_out(settings, plans, readers)
                letters.actions.end([(one.letter.address, one.done, one.note) for one in told])
            done += sum(one.done for one in told)
            failed += sum(not one.done for one in told)
            tell(told)
    return done, failed


def _targets(settings: Settings, readers: Readers, *, creates: bool) -> Targets:
    topic = _topic_of_replays(settings, creates=creates)
    limit = int(topic_configuration(settings.kafka, topic)["max.message.bytes"])
    return Targets(
        api=bool(settings.api.url.get_secret_value()),
        api_variable=variable("api_url", settings.stream),
        largest_value=largest_value(limit),
        first_day=settings.history.first_day,
        last_day=datetime.now(UTC).date(),
        reader=readers.reader,
        lacking=registry.lacking(),
    )


def _topic_of_replays(settings: Settings, *, creates: bool) -> str:
    """Return the topic of replays, or where it is missing and not to be created the one that it would be made like."""
    if creates:
        ensure_replay_topic(settings)
        return settings.topics.replays
    topics = settings.topics
    return topics.replays if shown_topics(settings.kafka, topics.replays) else topics.events


def _read(settings: Settings, addresses: Collection[Address], topic_id: str) -> list[Letter]:
    """Read letters anew, with their events: all that are meant would not fit into memory."""
    with open_dead_letters(settings.kafka, settings.topics.dead_letters) as reader:
        if reader.topic_id != topic_id:
            raise EngagementError(f"The topic {settings.topics.dead_letters} was created again meanwhile.")
        return list(reader.at(addresses))


def _plans(settings: Settings, letters: Sequence[Letter], targets: Targets, number_as: Numbering) -> Plans:
    contents = [letter.content for letter in letters]
    ids = {content.event_id for content in contents if needs_source(content, targets) and content.event_id is not None}
    events: dict[int | None, SourceEvent] = {}
    if ids:
        events.update(messages_of(origin_of(settings), sorted(ids), targets.largest_value, number_as).items())
    return [(letter, plan(letter.content, events.get(letter.content.event_id), targets)) for letter in letters]


def _carry_out(settings: Settings, plans: Plans, readers: Readers) -> None:
    messages = [_message(settings, plan, plan.value, readers) for _, plan in plans if plan.value]
    if messages:
        send_all(settings.kafka, messages, largest_message=max(len(message.value) for message in messages))
    days = {plan.day: str(letter.address) for letter, plan in plans if plan.day is not None}
    if days:
        _note_due(settings, days)


def _message(settings: Settings, plan: Plan, value: bytes, readers: Readers) -> Message:
    number = plan.schema or readers.number_of(value)
    return Message(settings.topics.replays, plan.key, value, (schema_header(number), (HEADER_TO, TO_API)))


def _note_due(settings: Settings, days: Mapping[date, str]) -> None:
    table_id = open_warehouse(settings).ensure(table_now(settings))
    with DueDays.opened(settings, "redrive") as due_days:
        for day, address in days.items():
            due_days.note(table_id, [day], f"redrive of dead letter {address}")


def _note(settings: Settings, plan: Plan) -> str:
    """Say what is done."""
    sent = [f"to {settings.topics.replays} for the API"] if plan.value else []
    due = [f"{plan.day} is due for a rebuild"] if plan.day else []
    return "; ".join([*sent, *due, *([plan.fault] if plan.fault else [])])


def discard(settings: Settings, letters: Sequence[Letter], topic_id: str, who: str, why: str) -> list[Letter]:
    """Note that nobody needs these letters any more; they stay in the topic. Raises Unavailable, EngagementError.

    Returns those that were discarded: not what somebody has acted on since the letters were read.
    """
    with open_actions(settings, topic_id, alone=True) as actions:
        present = actions.all()
        unchanged = [letter for letter in letters if list(present.get(letter.address, ())) == list(letter.actions)]
        if unchanged:
            actions.discard(unchanged, who, why)
    return unchanged
