"""What was read about one event, place by place. What could not be read says why, and is never taken for nothing."""

from dataclasses import dataclass
from datetime import date, datetime

from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.dead_letters import Letter
from engagement_platform.domain.delivery.record import Delivery
from engagement_platform.domain.windows import Window


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read."""

    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """The event as the source has it now."""

    key: str | None
    time: datetime | None
    """None where it is infinite or beyond the years 1 to 9999."""
    size: int
    """Bytes that its message has, or would have."""
    value: bytes | None
    """The message; None where it is too large to look at."""


@dataclass(frozen=True, slots=True)
class InSource:
    """What the source has."""

    row: Row | None
    given: int | None
    """The id that the sequence gave last; None where the role may not see it."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """How far the relay has come."""

    covered: Coverage
    """The ids that it has passed; those that may still be committed are missing in it."""
    began: Coverage | None = None
    """The ids that it had passed by the first note of it that there is: they were published before, or never."""
    noted_at: datetime | None = None
    """When that note was taken."""


@dataclass(frozen=True, slots=True)
class Message:
    """The event in the topic."""

    partition: int
    offset: int
    arrived: datetime
    """By Kafka's clock."""
    unseen_at: datetime | None
    """When the last poll that did not see the row began: the commit lies after it."""
    schema: int | None
    size: int
    value: bytes
    time: datetime | None = None
    """The event's own; None where the message is no event."""
    members: tuple[tuple[str, str], ...] = ()
    """Dimension of the views, and the member under which the event counts there."""


@dataclass(frozen=True, slots=True)
class InKafka:
    """What was found of the event in the topic, and where that was looked for."""

    message: Message | None
    since: datetime | None = None
    until: datetime | None = None
    """Between which times it was published, as the relay's checkpoints tell; None where they do not."""
    oldest: datetime | None = None
    """When the oldest message that the topic still has arrived."""
    looked_at: int = 0
    """How many messages were looked at."""
    is_complete: bool = True
    """Whether that was every message that it could be."""
    is_expired: bool = False
    """Whether a part of that time is not in the topic any more."""


@dataclass(frozen=True, slots=True)
class InViews:
    """How the views in Redis stand."""

    same_topic: bool
    """Whether they count the topic in which the message lies."""
    offset: int | None
    """The offset in the message's partition that is counted next; None where Redis has no offsets."""
    window: Window
    as_of_ms: int
    counts: tuple[int | None, ...] = ()
    """For each member of the message, how many events its bucket has; None where there is no such bucket."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One batch of the stage."""

    load_id: str
    opened_at: datetime
    closed_at: datetime | None
    """None while the warehouse is not known to have it."""
    rows: int
    covered: int
    """How many of its events were left out, as a rebuilt day had them."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The latest rebuild of the event's day that is done."""

    number: int
    run_id: str
    closed_at: datetime | None
    covers: bool
    """Whether its snapshot of the source had passed the event."""


@dataclass(frozen=True, slots=True)
class InWarehouse:
    """What the warehouse has, and by what."""

    has_row: bool | Unread
    """Whether the table has a row of this id."""
    next_offset: int | None
    """With which the stage's next batch begins in the message's partition; None where it never began."""
    day: date | None
    load: Loaded | None = None
    rebuilt: Rebuilt | None = None
    is_being_rebuilt: bool = False
    files: tuple[str, ...] = ()
    """The files that have the row, where the warehouse has files."""


@dataclass(frozen=True, slots=True)
class AtPartner:
    """What was tried at the partner."""

    has_partner: bool
    next_offset: int | None
    """The offset in the message's partition behind which nothing is settled yet; None where forward never began."""
    tries: tuple[Delivery, ...] = ()
    """In the order of time."""
    is_kept: bool = True
    """Whether requests are kept."""
    kept_since: datetime | None = None
    """The oldest request that is kept."""
    same_topic: bool = True
    """Whether forward stands in the topic in which the message lies, or nowhere yet."""


@dataclass(frozen=True, slots=True)
class Letters:
    """The event's dead letters."""

    letters: tuple[Letter, ...] = ()
    is_complete: bool = True
    """Whether all letters were looked at that could be of the event."""

    def of(self, source: str) -> tuple[Letter, ...]:
        """Return those of one loop."""
        return tuple(letter for letter in self.letters if letter.content.source == source)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was read about an event."""

    stream: str
    event_id: int
    at: datetime
    """When it was read."""
    source: InSource | Unread
    relay: Relayed | Unread
    kafka: InKafka | Unread
    views: InViews | Unread | None
    """None where there is no message that could be counted."""
    warehouse: InWarehouse | Unread
    partner: AtPartner | Unread
    letters: Letters | Unread

    @property
    def message(self) -> Message | None:
        """The message, where it was found."""
        return self.kafka.message if isinstance(self.kafka, InKafka) else None

    @property
    def row(self) -> Row | None:
        """The row of the source, where it was read and is there."""
        return self.source.row if isinstance(self.source, InSource) else None

    @property
    def is_published(self) -> bool | None:
        """Whether the relay has passed the event; None where that is not known."""
        return self.relay.covered.covers(self.event_id) if isinstance(self.relay, Relayed) else None

    def letters_of(self, source: str) -> tuple[Letter, ...]:
        """Return the letters of one loop, as far as they were read."""
        return self.letters.of(source) if isinstance(self.letters, Letters) else ()
