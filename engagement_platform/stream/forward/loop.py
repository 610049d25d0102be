"""forward: Kafka to the partner's HTTP API. Every event arrives at least once, or is a dead letter.

`domain.delivery` decides what to send when and what an outcome means; here messages are read, requests are made and
offsets are stored, only behind what is delivered or a dead letter. Whatever the partner does, no other loop feels it: a
partner that is down costs one request every few seconds, and one that takes too little is waited for with the topic as
the buffer, not memory.

Delivered are the topic of events and, of the topic of replays, what is marked for the API.
"""

import logging
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.plain import send_dead_letters
from engagement_platform.domain.batches import Rejected
from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.domain.delivery.breaker import BreakerState
from engagement_platform.domain.delivery.dispatch import Dispatch
from engagement_platform.domain.delivery.lanes import Outgoing
from engagement_platform.domain.delivery.outcome import NoAnswer, judge
from engagement_platform.domain.delivery.parcels import Policy, Settled
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.loop_state import Kind, LoopState
from engagement_platform.settings import Settings
from engagement_platform.stream.backlog import beyond
from engagement_platform.stream.control import Control
from engagement_platform.stream.forward import standstill
from engagement_platform.stream.forward.clients import Clients, connected
from engagement_platform.stream.forward.dead_letters import dead_letter_of_rejected, letters
from engagement_platform.stream.forward.offsets import Offsets
from engagement_platform.stream.forward.requests import Requests
from engagement_platform.stream.forward.topic import Topic, outgoing
from engagement_platform.stream.supervisor import Supervision, supervise

log = logging.getLogger("engagement_platform.forward")

END_SECONDS = 5.0
"""For how long the end of a run waits for the requests under way. Those that it ends are made again, as any is."""
_ABORT_SECONDS = 2.0
LOOKS_OF_A_DRAIN = 4
"""So often a run that drains looks whether a partner that refuses everything takes an event again."""
_MAX_EVENTS = 20_000
_MAX_BYTES = 32 << 20
"""Of the events in memory that are not settled."""
_MAX_SPAN = 200_000
"""Of messages behind one that is not settled: so many are delivered again after a crash."""

_IDLE_POLL_MS = 200
_BUSY_POLL_MS = 25
"""While outcomes are waited for, which a poll does not notice."""
_FULL_WAIT_SECONDS = 0.01


def run(settings: Settings, control: Control) -> None:
    """Deliver until the lease is over or, when draining, until all that was in Kafka before is settled.

    Waits for Kafka when it does not answer, and for a partner that is down. What a person has to put right is said, and
    looked at again now and then: a partner that cannot be used must not end the run that feeds Redis. When draining it
    is raised, and so is a partner that stays down for longer than `api_retry_seconds`. Ends quietly when another run
    has taken over. Without an address of a partner there is nothing to do, and the offsets stay.
    """

    def attempt(supervision: Supervision) -> None:
        if not settings.api.url.get_secret_value():
            _idle(settings, control, supervision)
            return
        with connected(settings) as clients:
            supervision.claim()
            _Forward(settings, control, clients, supervision).run()

    supervise(control, attempt, log=log, count_lag=lambda: backlog(settings), max_pause=5.0)


def backlog(settings: Settings) -> int:
    """Return how many messages wait, as the offsets of the consumer group tell. Raises EngagementError."""
    return sum(_waiting_in(settings, topic) for topic in (settings.topics.events, settings.topics.replays))


def _waiting_in(settings: Settings, topic: str) -> int:
    reader = GroupReader(settings.kafka, topic, settings.topics.forward_group)
    try:
        stored = {p: each.offset for p, each in reader.stored().items() if each.topic_id in (reader.topic_id, "")}
        return beyond(stored, reader)
    finally:
        reader.close()


def _idle(settings: Settings, control: Control, supervision: Supervision) -> None:
    """Hold the place of the loop in its run."""
    supervision.claim()
    control.progress.enter(LoopState(Kind.IDLE, time.time(), reason=f"{settings.api.variable('url')} is not set"))
    log.info("%s is not set: nothing is forwarded.", settings.api.variable("url"))
    while not control.drain and not control.wait(1.0):
        pass


def policy_of(settings: Settings) -> Policy:
    """Return how the settings say that events are delivered."""
    return Policy(
        batch_size=settings.api.batch_size,
        wait=settings.api.wait_ms / 1000,
        in_flight=settings.api.in_flight,
        retry=settings.api.retry_seconds,
        opens_after=settings.api.breaker_failures,
        probe=settings.api.probe_seconds,
        events_per_second=settings.api.events_per_second,
        requests_per_second=settings.api.requests_per_second,
    )


class _Forward:
    """One forward, connected. The group in Kafka says where it stands; what is in memory may be lost.

    The platform's database has a copy, which is asked only when the group has nothing.
    """

    def __init__(self, settings: Settings, control: Control, clients: Clients, supervision: Supervision) -> None:
        self._settings = settings
        self._control = control
        self._topics = {topic.name: topic for topic in (clients.live, clients.replays)}
        self._partner = clients.partner
        self._positions = clients.positions
        self._largest_letter = clients.largest_letter
        self._supervision = supervision
        self._dispatch = Dispatch(policy_of(settings))
        self._offsets = Offsets(settings, self._topics, clients.positions, self._dispatch)
        self._requests = Requests(clients.partner.post, settings.api.in_flight)
        self._down_since: float | None = None
        self._held = False
        self._is_ending = False
        self._standstill = standstill.Standstill(self._dispatch)

    def run(self) -> None:
        try:
            self._deliver()
        except TopicChanged as error:
            is_of_replays = self._settings.topics.replays in error.what
            raise standstill.other_topic(error.what, self._offsets.since(), is_of_replays=is_of_replays) from error
        except OffsetsExpired as error:
            raise standstill.lost(error.what, self._offsets.since()) from error
        except EngagementError:
            if self._offsets.is_resumed:
                with suppress(EngagementError):
                    self._finish()
            raise
        finally:
            self._partner.abort()  # so that no request is under way when the next forward begins
            self._requests.close()

    def _deliver(self) -> None:
        try:
            goals = self._offsets.goals() if self._control.drain else {}
            self._offsets.resume(self._control.expect)
            while not self._control.should_stop():
                self._step()
                self._supervision.works(but=self._standstill.state(time.time()))
                if self._control.drain and self._has_drained(goals):
                    break
            self._finish()
        except OffsetsExpired:
            for topic in self._topics.values():
                topic.reader.verify()  # else the offsets are missing because the topic is another one
            raise

    def _step(self) -> None:
        self._take_outcomes(0.0)
        self._send()
        self._read()
        if self._offsets.is_due:
            now = time.monotonic()
            self._offsets.store(now)
            self._report()
            self._follow_decisions(now)

    # Messages in

    def _read(self) -> None:
        """Take in messages, as far as there is room; what is not read stays in Kafka."""
        dispatch, live = self._dispatch, self._topics[self._settings.topics.events]
        held = dispatch.held
        span = sum(topic.span for topic in self._topics.values())
        full = held.events >= _MAX_EVENTS or held.bytes >= _MAX_BYTES or span >= _MAX_SPAN
        if full != self._held:
            self._held = full
            for topic in self._topics.values():
                topic.reader.hold(holding=full)
        patience = 0 if full else _IDLE_POLL_MS if dispatch.is_idle else _BUSY_POLL_MS
        for topic in self._topics.values():
            self._add(topic, patience if topic is live else 0)
        if full:
            self._take_outcomes(_FULL_WAIT_SECONDS)

    def _add(self, topic: Topic, timeout_ms: int) -> None:
        rejected: list[tuple[Rejected, int, int]] = []
        for record in topic.poll(timeout_ms):
            tried = topic.tried_before(record.partition, record.offset)
            event = outgoing(record, time.monotonic(), tried)
            if isinstance(event, Outgoing):
                self._dispatch.add(event)
            else:
                rejected.append((event, record.partition, record.offset))
        if rejected:
            log.warning("%d messages are no events, the first: %s", len(rejected), rejected[0][0].reason)
            self._bury([dead_letter_of_rejected(event, self._largest_letter) for event, _, _ in rejected])
            for _, partition, offset in rejected:
                topic.settle(partition, offset)

    # Requests out

    def _send(self) -> None:
        while (parcel := self._dispatch.next(time.monotonic(), datetime.now(UTC))) is not None:
            if parcel.is_probe and self._dispatch.stopped:
                self._partner.renew()  # perhaps somebody has replaced a secret
            self._requests.make(parcel)

    def _take_outcomes(self, seconds: float) -> None:
        """Settle what has come back; wait up to so long for the first."""
        result = self._requests.outcome(seconds)
        settled: list[Settled] = []
        while result is not None:
            parcel, answer = result
            if not (self._is_ending and isinstance(answer, NoAnswer)):  # else it is the end of the run that failed it
                outcome = judge(answer, datetime.now(UTC))
                settled.append(self._dispatch.settle(parcel, outcome, time.monotonic(), random.random()))  # noqa: S311
            result = self._requests.outcome(0.0)
        failed = [failure for one in settled for failure in one.failed]
        if failed:
            log.warning("%d events could not be delivered, the first: %s", len(failed), failed[0].reason)
            self._bury(letters(failed, self._settings.stream, self._largest_letter))
        delivered = [event for one in settled for event in one.delivered]
        for event in [*delivered, *(failure.event for failure in failed)]:
            name, partition, offset = event.record_position
            self._topics[name].settle(partition, offset)
        self._note(delivered, len(failed))

    def _bury(self, dead_letters: list[DeadLetter]) -> None:
        """Keep what was given up. Its offsets are stored only after this."""
        send_dead_letters(self._settings.kafka, self._settings.topics.dead_letters, dead_letters)

    # Where it stands

    def _follow_decisions(self, now: float) -> None:
        """Give up what an operator has decided to give up; it is looked for while nothing is delivered."""
        self._positions.asks = self._standstill.state(time.time()) is not None
        if events := self._positions.decided():
            log.warning("Up to %d events that the partner refuses become dead letters, as was decided.", events)
            self._dispatch.give_up(events, now)

    def _has_drained(self, goals: Mapping[str, Mapping[int, int]]) -> bool:
        """Say whether everything up to the goals is settled. Raises StreamStopped when it cannot come to that."""
        dispatch = self._dispatch
        if dispatch.stopped and (not dispatch.is_refusing or dispatch.looks > LOOKS_OF_A_DRAIN):
            raise standstill.refused(dispatch)
        now, is_up = time.monotonic(), dispatch.breaker is BreakerState.CLOSED
        self._down_since = None if is_up else self._down_since or now
        if self._down_since is not None and now - self._down_since >= self._settings.api.retry_seconds:
            raise standstill.down(now - self._down_since)
        return self._offsets.have_reached(goals)

    def _finish(self) -> None:
        """Wait a while for the requests under way, end the others, and store what is settled and what was tried."""
        self._control.expect(END_SECONDS + _ABORT_SECONDS)
        self._await_requests(END_SECONDS)
        self._is_ending = True
        self._partner.abort()
        self._await_requests(_ABORT_SECONDS)
        self._positions.unused = self._dispatch.granted
        self._offsets.store(time.monotonic(), everything=True)
        self._report()

    def _await_requests(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._take_outcomes(0.0)
        while self._requests.under_way and (left := until - time.monotonic()) > 0:
            self._take_outcomes(left)

    # What is told

    def _note(self, delivered: list[Outgoing], dead: int) -> None:
        progress, now_us = self._control.progress, time.time_ns() // 1_000
        progress.events += len(delivered) + dead
        for event in delivered:
            if event.unseen_at is not None:
                progress.latency.add((now_us - event.unseen_at) / 1_000)

    def _report(self) -> None:
        progress, dispatch = self._control.progress, self._dispatch
        tally = dispatch.tally
        progress.lag = sum(topic.reader.waiting() for topic in self._topics.values()) + dispatch.held.events
        progress.detail |= {
            "breaker": dispatch.breaker.value,
            "in_flight": dispatch.in_flight,
            "requests": tally.requests,
            "retries": tally.retries,
            "halved": tally.halved,
            "dead_letters": tally.dead_letters,
        }
        self._standstill.log_changes(time.time())
