"""The parts of forward: what it reads, who makes its requests, how fast it is, and the letters that it writes."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

import msgspec
from kafka.consumer.fetcher import ConsumerRecord

from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.domain.batches import Rejected, line_of
from engagement_platform.domain.delivery.lanes import Outgoing
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer
from engagement_platform.domain.delivery.parcels import Failed, Parcel
from engagement_platform.domain.delivery.prefix import Prefix
from engagement_platform.domain.event import (
    EXCERPT_CHARACTERS,
    HEADER_TO,
    HEADER_UNSEEN_AT,
    TO_API,
    DeadLetter,
    decode,
    kept,
)
from engagement_platform.domain.signing import event_key

SOURCE = "forward"
"""How its dead letters name it."""


class Topic:
    """One topic on its way to the partner, and how far each of its partitions is settled.

    Methods raise Unavailable, OffsetsExpired and TopicChanged.
    """

    def __init__(self, reader: GroupReader, *, only_for_api: bool) -> None:
        self.reader = reader
        self._only_for_api = only_for_api
        self._prefixes: dict[int, Prefix] = {}
        self._stored: dict[int, int] = {}

    @property
    def name(self) -> str:
        """The topic's name."""
        return self.reader.topic

    def resume(self) -> bool:
        """Go on from the offsets stored; say whether there were any."""
        found = self.reader.resume()
        self._prefixes = {partition: Prefix(at) for partition, at in self.reader.positions().items()}
        return found

    def poll(self, timeout_ms: int) -> list[ConsumerRecord]:
        """Return the messages that are to be delivered; the others are settled already."""
        for partition in self.reader.follow_new_partitions():
            self._prefixes[partition] = Prefix(0)
        chosen = []
        for partition, records in self.reader.poll(timeout_ms).items():
            prefix = self._prefixes[partition]
            for record in records:
                prefix.add(record.offset)
                if self._only_for_api and (HEADER_TO, TO_API) not in record.headers:
                    prefix.settle(record.offset)
                else:
                    chosen.append(record)
        for partition, position in self.reader.positions().items():
            self._prefixes[partition].reach(position)
        return chosen

    def settle(self, partition: int, offset: int) -> None:
        """Note that a message is delivered or a dead letter."""
        self._prefixes[partition].settle(offset)

    def store(self, *, everything: bool) -> None:
        """Store how far the partitions are settled: those that have advanced, or all of them."""
        places = {partition: prefix.committable for partition, prefix in self._prefixes.items()}
        new = {p: place for p, place in places.items() if everything or self._stored.get(p) != place}
        if new:
            self.reader.store(new)
            self._stored |= new

    def has_settled(self, ends: Mapping[int, int]) -> bool:
        """Say whether everything before these ends is settled."""
        return all(p in self._prefixes and self._prefixes[p].committable >= end for p, end in ends.items())

    @property
    def span(self) -> int:
        """How many messages are remembered because one before them is not settled."""
        return sum(prefix.span for prefix in self._prefixes.values())


def outgoing(record: ConsumerRecord, now: float) -> Outgoing | Rejected:
    """Check a message; `now` is the loop's clock. Its order is kept by content, and there is none without one."""
    try:
        event = decode(record.value)
    except (msgspec.MsgspecError, ValueError, TypeError):  # ValueError: not UTF-8; TypeError: no value
        rejected = line_of(record.value)
        return rejected if isinstance(rejected, Rejected) else Rejected(rejected.id, "not an event", "")
    unseen = next((value for name, value in record.headers if name == HEADER_UNSEEN_AT and value), b"")
    return Outgoing(
        event.id,
        ("event", event.id) if event.content_id is None else event.content_id,
        record.value,
        (record.topic, record.partition, record.offset),
        now,
        int(unseen) if unseen.isdigit() else None,
    )


class Requests:
    """Makes requests in threads, and hands out what came of them to the one thread that asks."""

    def __init__(self, post: Callable[[list[tuple[int, bytes]]], Answer | NoAnswer], most: int) -> None:
        self._post = post
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="partner")
        self._done: SimpleQueue[tuple[Parcel, Answer | NoAnswer | Exception]] = SimpleQueue()

    def make(self, parcel: Parcel) -> None:
        """Begin the request of a parcel."""
        self._pool.submit(self._make, parcel)

    def _make(self, parcel: Parcel) -> None:
        try:
            self._done.put((parcel, self._post([(event.id, event.value) for event in parcel.events])))
        except Exception as error:  # it is raised where somebody waits for it
            self._done.put((parcel, error))

    def outcome(self, seconds: float) -> tuple[Parcel, Answer | NoAnswer] | None:
        """Return what came of a request, waiting at most so long; None when none has ended."""
        try:
            parcel, found = self._done.get(timeout=seconds) if seconds > 0 else self._done.get_nowait()
        except Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return parcel, found

    def close(self) -> None:
        """Return when no request is under way any more; what came of them can still be asked for."""
        self._pool.shutdown()


class Pace:
    """Measures how fast a backlog shrinks while the partner takes events. Time is an argument."""

    WINDOW_SECONDS = 2.0

    def __init__(self) -> None:
        self._since: float | None = None
        self._settled = 0
        self._mark = (0.0, 0)

    def note(self, now: float, settled: int, backlog: int, least: int) -> tuple[int | None, str]:
        """Return the events a second of the last window while `least` events wait, and what to say at the end of that.

        `settled` counts all events since the start. Not for the time in which the partner is out: see `interrupt`.
        """
        if backlog < least:
            return None, self._end(now, settled)
        if self._since is None:
            self._since, self._settled, self._mark = now, settled, (now, settled)
        begin, count = self._mark
        if now - begin < self.WINDOW_SECONDS:
            return None, ""
        self._mark = (now, settled)
        return round((settled - count) / (now - begin)), ""

    def interrupt(self) -> None:
        """Note that the partner is out: the measuring begins anew when it is back."""
        self._since = None

    def _end(self, now: float, settled: int) -> str:
        since, self._since = self._since, None
        if since is None or now - since < self.WINDOW_SECONDS:
            return ""
        events, seconds = settled - self._settled, now - since
        return f"Caught up: {events} events in {seconds:.1f} s, {events / seconds:.0f} a second."


def letters(failed: Iterable[Failed], largest: int) -> list[DeadLetter]:
    """Return the letters of events that could not be delivered. Their topic takes messages up to `largest` bytes."""
    return [_letter(each, largest) for each in failed]


def _letter(failed: Failed, largest: int) -> DeadLetter:
    event = failed.event
    return DeadLetter(
        source=SOURCE,
        event_id=event.id,
        reason=failed.reason,
        excerpt=event.value.decode()[:EXCERPT_CHARACTERS],
        at=datetime.now(UTC),
        status=failed.status,
        response=failed.response or None,
        first_try=failed.first_try,
        last_try=failed.last_try,
        event=kept(event.value, largest),
        key=event_key(event.id),
    )


def letter_of_rejected(rejected: Rejected, largest: int) -> DeadLetter:
    """Return the letter of a message that is no event; it is kept all the same where it is JSON."""
    return DeadLetter(
        source=SOURCE,
        event_id=rejected.id,
        reason=rejected.reason,
        excerpt=rejected.excerpt,
        at=datetime.now(UTC),
        event=kept(rejected.value, largest),
    )
