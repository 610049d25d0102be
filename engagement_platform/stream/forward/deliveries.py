"""Makes what the dispatch decides happen: requests go out, outcomes come in, what cannot be delivered is kept."""

import logging
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from engagement_platform.adapters import batch_log
from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS, DeadLetter, kept
from engagement_platform.domain.delivery.dispatch import Dispatch
from engagement_platform.domain.delivery.outcome import NoAnswer, Outcome, judge
from engagement_platform.domain.delivery.parcels import Failed, Outgoing, Settled
from engagement_platform.domain.delivery.record import Became, Bodies, Delivery, became, content_numbers
from engagement_platform.domain.progress import BYTES, EVENTS
from engagement_platform.domain.signing import event_key
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.forward.clients import SOURCE, Clients
from engagement_platform.stream.forward.requests import Made, Requests
from engagement_platform.stream.forward.topic import Topic

log = logging.getLogger("engagement_platform.forward")

END_SECONDS = 5.0
"""For how long the end of a run waits for the requests under way. Those that it ends are made again, as any is."""
_ABORT_SECONDS = 2.0


class Deliveries:
    """The requests of one forward. Messages are settled once they are delivered, or their dead letters are kept."""

    def __init__(
        self, settings: Settings, control: Control, clients: Clients, topics: Mapping[str, Topic], dispatch: Dispatch
    ) -> None:
        self._stream = settings.stream
        self._control = control
        self._partner = clients.partner
        self._dead_letters = clients.dead_letters
        self._topics = topics
        self._dispatch = dispatch
        self._requests = Requests(clients.partner, settings.api.in_flight)
        self._record = clients.record
        self._bodies = Bodies(settings.deliveries.body_bytes)
        self._is_ending = False

    def send(self) -> None:
        """Begin all requests that may be made now."""
        while (parcel := self._dispatch.next(time.monotonic(), datetime.now(UTC))) is not None:
            if parcel.is_probe and self._dispatch.blame.stopped:
                self._partner.renew()  # perhaps somebody has replaced a secret
            self._requests.make(parcel)

    def take_outcomes(self, seconds: float) -> None:
        """Settle what has come back; wait up to so long for the first."""
        made = self._requests.outcome(seconds)
        settled: list[Settled] = []
        while made is not None:
            if not (self._is_ending and isinstance(made.answer, NoAnswer)):  # else the end of the run has failed it
                settled.append(self._settle(made))
            made = self._requests.outcome(0.0)
        failed = [failure for one in settled for failure in one.failed]
        if failed:
            log.warning("%d events could not be delivered, the first: %s", len(failed), failed[0].reason)
            largest = self._dead_letters.largest
            self._dead_letters.keep(dead_letter_of(failure, self._stream, largest) for failure in failed)
        delivered = [event for one in settled for event in one.delivered]
        for event in [*delivered, *(failure.event for failure in failed)]:  # only now: their offsets may be stored
            name, partition, offset = event.record_position
            self._topics[name].settle(partition, offset)
        self._note(delivered, len(failed))

    def _settle(self, made: Made) -> Settled:
        now, halved = time.monotonic(), self._dispatch.tally.halved
        outcome = judge(made.answer, datetime.now(UTC))
        settled = self._dispatch.settle(made.parcel, outcome, now, random.random())  # noqa: S311
        if self._record is not None:
            came_of_it = became(settled, halved=self._dispatch.tally.halved > halved)
            body = self._bodies.kept(made.request.body, came_of_it, now)
            self._record.note(delivery_of(made, outcome, came_of_it, body))
        return settled

    @property
    def unrecorded(self) -> int:
        """How many requests were left out of the record."""
        return 0 if self._record is None else self._record.left_out

    def finish(self) -> None:
        """Wait a while for the requests under way, and end the others."""
        self._control.expect(END_SECONDS + _ABORT_SECONDS)
        self._await_requests(END_SECONDS)
        self._is_ending = True
        self._partner.abort()
        self._await_requests(_ABORT_SECONDS)

    def close(self) -> None:
        """End all requests, so that none is under way when the next forward begins."""
        self._partner.abort()
        self._requests.close()

    def _await_requests(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.take_outcomes(0.0)
        while self._requests.under_way and (left := until - time.monotonic()) > 0:
            self.take_outcomes(left)

    def _note(self, delivered: list[Outgoing], dead: int) -> None:
        progress, now_us = self._control.progress, time.time_ns() // 1_000
        progress.count(EVENTS, len(delivered) + dead)
        if delivered and batch_log.is_on():
            batch_log.handled(
                "delivered", {event.unseen_at for event in delivered}, _offsets_of(delivered), len(delivered)
            )
        progress.count(BYTES, sum(len(event.value) for event in delivered))
        for unseen_us, times in Counter(event.unseen_at for event in delivered).items():
            if unseen_us is not None:
                progress.latency.add((now_us - unseen_us) / 1_000_000, times)


def _offsets_of(events: Iterable[Outgoing]) -> dict[int, tuple[int, int]]:
    """Return partition -> lowest and highest offset of events; between them may be others."""
    offsets: dict[int, list[int]] = {}
    for event in events:
        _, partition, offset = event.record_position
        offsets.setdefault(partition, []).append(offset)
    return {partition: (min(some), max(some)) for partition, some in offsets.items()}


def delivery_of(made: Made, outcome: Outcome, came_of_it: Became, body: str | None) -> Delivery:
    """Return what is kept of a request; `body` is what is kept of its body."""
    parcel = made.parcel
    return Delivery(
        begun_at=datetime.fromtimestamp(made.begun_at, UTC),
        seconds=made.seconds,
        request_id=made.request.id,
        ids=tuple(event.id for event in parcel.events),
        contents=content_numbers(parcel.lanes),
        tries=parcel.tries,
        is_probe=parcel.is_probe,
        became=came_of_it,
        status=outcome.status,
        reason=outcome.reason,
        response=outcome.response,
        body=body,
        body_bytes=len(made.request.body),
    )


def dead_letter_of(failed: Failed, stream: str, largest: int) -> DeadLetter:
    """Return the dead letter of an event that could not be delivered. Its topic takes `largest` bytes."""
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
        key=event_key(stream, event.id),
    )
