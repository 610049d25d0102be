"""What the platform asks of a Kafka client: in bytes, offsets and our own errors.

`client` chooses among those that have it. All methods raise Unavailable when Kafka does not answer, and Refused when it
refuses a login or a right. Nothing creates a topic but `Admin.create`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.errors import EngagementError
from engagement_platform.settings import Kafka


class Fenced(Exception):
    """A later producer with the same transactional id has begun: this one can commit nothing any more."""


class OffsetsExpired(EngagementError):
    """Offsets to read from are not there (any more): the data has expired, or the log was cut."""


class NoteTooLong(Exception):
    """Kafka has no room for what is to stand beside an offset (offset.metadata.max.bytes)."""


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Message(NamedTuple):
    """One record to send."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a topic is, and when Kafka said so."""

    topic_id: str
    """Its UUID, as text."""
    partitions: frozenset[int]
    at: float
    """By the monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """How much is fetched at a time, and how often the topic is looked up."""

    min_bytes: int = 1
    max_wait_ms: int = 500
    """How long Kafka waits for that many bytes."""
    max_records: int = 5_000
    """Most messages that a poll returns."""
    max_partition_bytes: int = 4 << 20
    refresh_ms: int = 2_000
    """How often topic and partitions are looked up."""


class Consumer(Protocol):
    """Reads a topic by offsets, what is committed only. It goes where it is told, and never jumps by itself.

    Not thread-safe.
    """

    def state(self) -> TopicState:
        """Return what the topic was at the last look, which follows the one before after `refresh_ms`.

        A topic that is gone, or a Kafka that does not answer, leaves the state as it was.
        """

    def assign(self, offsets: Mapping[int, int]) -> None:
        """Read from these offsets on: partition -> offset. Other partitions are not read any more."""

    def hold(self, *, holding: bool) -> None:
        """Stop fetching what is assigned, or go on."""

    def poll(self, timeout_ms: int, most: int | None = None) -> dict[int, list[Record]]:
        """Return messages by partition, as soon as there are any; at most `max_records`, or `most` where that is less.

        Raises OffsetsExpired.

        What was polled is returned before an error is raised.
        """

    def positions(self) -> dict[int, int]:
        """Return partition -> offset of the next message. Markers of transactions count as offsets, too."""

    def known_ends(self) -> dict[int, int | None]:
        """Return partition -> end of what is written, as the last answer to a read told it; None where none came."""

    def end_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        """Return partition -> end of what is committed."""

    def beginning_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        """Return partition -> oldest offset there is."""

    def offsets_at(self, partitions: Collection[int], arrived_ms: int) -> dict[int, int | None]:
        """Return partition -> offset of the first message of that time or later; None where there is none."""

    def stored(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        """Return partition -> what its group stores: an offset, and the note beside it."""

    def store(self, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Have the group store partition -> offset and note. Raises NoteTooLong."""

    def close(self) -> None:
        """Close the connections."""


class FencedProducer(Protocol):
    """A transactional producer. After any exception it is of no more use: open another, and read the checkpoint."""

    def fence(self) -> None:
        """Shut out every earlier producer of this transactional id; what it left open is aborted.

        Raises Fenced when a later one is at it too.
        """

    def commit(self, messages: Sequence[Message]) -> None:
        """Write all messages or none: once this returns, each of them is in the committed transaction.

        Raises Fenced, and Unavailable when the outcome is not known: at the latest when the broker would abort the
        transaction, `transaction_timeout_ms` after its begin.
        """

    def close(self) -> None:
        """Close the connections, and drop what has not been sent."""


class PlainProducer(Protocol):
    """Sends messages in order and without a transaction."""

    def send_all(self, messages: Iterable[Message]) -> int:
        """Send messages as they come; return how many Kafka has, which is all of them.

        When it raises, a first part of the messages has been sent.
        """

    def close(self) -> None:
        """Close the connections."""


class Admin(Protocol):
    """Looks at topics, and creates them."""

    def shown(self, topics: Collection[str]) -> frozenset[str]:
        """Return those of some topics that Kafka shows to this user. It is asked for these alone: all may be many."""

    def create(self, topics: Mapping[str, NewTopic]) -> None:
        """Create topics, in one request, and wait until they can be used. Those that exist stay as they are."""

    def topic_id(self, topic: str) -> str | None:
        """Return the UUID of a topic, as text; None where Kafka shows no such topic."""

    def configurations(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return topic -> its effective configuration; an empty one where Kafka shows none to this user."""

    def written_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return partition -> end of all that is written, open transactions included."""

    def left_open(self, topics: Collection[str]) -> dict[Place, int]:
        """Return where a transaction is open -> the offset before which all is read: the end of what is committed.

        Whatever is committed meanwhile makes no place appear. Raises Unavailable also when a topic is not there.
        """

    def newest_timestamps(self, topic: str, partitions: Iterable[int]) -> dict[int, int | None]:
        """Return partition -> the latest timestamp of its messages, in ms; None for an empty one."""

    def close(self) -> None:
        """Close the connections."""


class Client(Protocol):
    """A library that speaks to Kafka. Each of these returns what is connected."""

    def open_consumer(self, kafka: Kafka, topic: str, fetching: Fetching, group: str | None = None) -> Consumer:
        """Open a consumer; a group only stores offsets. Raises Unavailable also when the topic is not there."""

    def open_fenced(
        self, kafka: Kafka, transactional_id: str, topics: Collection[str], largest_message: int
    ) -> FencedProducer:
        """Open a transactional producer that knows these topics already, and has not fenced anybody yet.

        `largest_message` is in bytes. Raises Unavailable also when one of the topics is not there.
        """

    def open_plain(self, kafka: Kafka, largest_message: int) -> PlainProducer:
        """Open a producer of messages of at most so many bytes."""

    def open_admin(self, kafka: Kafka) -> Admin:
        """Open an admin client."""
