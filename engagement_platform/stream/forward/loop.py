"""forward: Kafka to the partner's HTTP API. Every event arrives at least once, or is a dead letter.

`domain.delivery` decides what to send when and what an outcome means; here messages are read, requests are made and
offsets are stored, only behind what is delivered or a dead letter. Whatever the partner does, no other loop feels it: a
partner that is down costs one request every few seconds, and one that takes too little is waited for with the topic as
the buffer, not memory.

Delivered are the topic of events and, of the topic of replays, what is marked for the API.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import closing, suppress

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.delivery.dispatch import Dispatch
from engagement_platform.domain.delivery.gate import BreakerState
from engagement_platform.domain.delivery.parcels import Policy
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.progress import (
    AS_OF,
    BREAKER,
    DEAD_LETTERS,
    DECLINED,
    FAILED,
    HALVED,
    IN_FLIGHT,
    REQUESTS,
    RETRIES,
    UNRECORDED,
)
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.forward import standstill
from engagement_platform.stream.forward.clients import Clients, connected
from engagement_platform.stream.forward.deliveries import Deliveries
from engagement_platform.stream.forward.intake import Intake
from engagement_platform.stream.forward.offsets import Offsets
from engagement_platform.stream.give_way import GiveWay
from engagement_platform.stream.lag import beyond
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.rejection_limit import RejectionLimit, rejection_limit
from engagement_platform.stream.supervisor import Supervision, supervise

log = logging.getLogger("engagement_platform.forward")

_HELD_SECONDS = 0.4
"""How old what Kafka has said of a topic's end may be: it holds an answer for 0.2 s, and a poll waits for it."""

_REST_SECONDS = 0.05
"""How soon requests are begun whose time has come, while nothing more is read."""

LOOKS_OF_A_DRAIN = 4
"""So often a run that drains looks whether a partner that refuses everything takes an event again."""


def run(settings: Settings, control: Control) -> None:
    """Deliver until the lease is over or, when draining, until all that was in Kafka before is settled.

    Waits for Kafka when it does not answer, and for a partner that is down. What a person has to put right is said, and
    looked at again now and then: a partner that cannot be used must not end the run that feeds Redis. When draining it
    is raised, and so is a partner that stays down for longer than `api_retry_seconds`. Ends quietly when another run
    has taken over. Without an address of a partner there is nothing to do, and the offsets stay.
    """
    readers = Readers(settings)

    def attempt(supervision: Supervision) -> None:
        if not settings.api.url.get_secret_value():
            _idle(settings, control, supervision)
            return
        with connected(settings, control.shard) as clients:
            supervision.claim()
            _disclose(settings, clients, readers)
            _Forward(settings, control, clients, supervision, readers=readers, limit=limit).run()

    with rejection_limit(settings, "forward") as limit:
        supervise(control, attempt, log=log, count_lag=lambda: backlog(settings, control.shard), max_pause=5.0)


def _disclose(settings: Settings, clients: Clients, readers: Readers) -> None:
    """Tell which columns messages have: the settings choose among them what the partner gets. Raises SettingsError."""
    user = stream_of(settings).user
    try:
        clients.partner.disclose(readers.schema.names, user, settings.stream)
    except SettingsError:
        readers.refresh()  # a column may be named before its first message is met
        clients.partner.disclose(readers.schema.names, user, settings.stream)


def backlog(settings: Settings, shard: Shard = WHOLE) -> int:
    """Return how many messages wait in a shard, as the offsets of the consumer group tell. Raises EngagementError."""
    return sum(_waiting_in(settings, topic, shard) for topic in (settings.topics.events, settings.topics.replays))


def _waiting_in(settings: Settings, topic: str, shard: Shard) -> int:
    with closing(GroupReader(settings.kafka, topic, settings.topics.forward_group, shard)) as reader:
        stored = {p: one.offset for p, one in reader.stored().items() if one.topic_id in (reader.topic_id, "")}
        return beyond(stored, reader)


def _idle(settings: Settings, control: Control, supervision: Supervision) -> None:
    """Hold the place of the loop in its run."""
    supervision.claim()
    control.progress.enter(LoopState(Activity.IDLE, time.time(), reason=f"{settings.api.variable('url')} is not set"))
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

    def __init__(
        self,
        settings: Settings,
        control: Control,
        clients: Clients,
        supervision: Supervision,
        *,
        readers: Readers,
        limit: RejectionLimit,
    ) -> None:
        self._settings = settings
        self._control = control
        self._topics = {topic.name: topic for topic in (clients.live, clients.replays)}
        self._positions = clients.positions
        self._supervision = supervision
        self._limit = limit
        self._dispatch = Dispatch(policy_of(settings))
        self._offsets = Offsets(settings, self._topics, clients.positions, self._dispatch)
        self._intake = Intake(
            settings,
            self._topics,
            self._dispatch,
            control.progress,
            readers=readers,
            limit=limit,
            dead_letters=clients.dead_letters,
        )
        self._deliveries = Deliveries(settings, control, clients, self._topics, self._dispatch)
        self._standstill = standstill.Standstill(self._dispatch)
        self._give_way = GiveWay(control)
        self._down_since: float | None = None

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
            self._deliveries.close()

    def _deliver(self) -> None:
        try:
            goals = self._offsets.goals() if self._control.drain else {}
            self._offsets.resume(self._control.expect)
            while not self._control.should_stop():
                self._step()
                self._supervision.works(but=self._state())
                if self._control.drain and self._has_drained(goals):
                    break
            self._finish()
        except OffsetsExpired:
            for topic in self._topics.values():
                topic.reader.verify()  # else the offsets are missing because the topic is another one
            raise

    def _step(self) -> None:
        self._deliveries.take_outcomes(0.0)
        self._deliveries.send()
        rest = self._give_way.seconds()
        if (seconds := min(rest, _REST_SECONDS) if rest else self._intake.take()) > 0:
            self._deliveries.take_outcomes(seconds)
        if self._offsets.is_due:
            now = time.monotonic()
            self._offsets.store(now)
            self._report()
            self._follow_decisions(now)

    def _state(self) -> LoopState | None:
        """Return why nothing is delivered, or no more is read."""
        lag = self._control.progress.lag
        idles = self._supervision.idles(sum(len(topic.reader.partitions) for topic in self._topics.values()))
        return self._standstill.state(time.time()) or self._limit.state(lag) or self._give_way.state() or idles

    def _follow_decisions(self, now: float) -> None:
        """Give up what an operator has decided to give up; it is looked for while nothing is delivered."""
        self._positions.asks = self._standstill.state(time.time()) is not None
        if events := self._positions.decided():
            log.warning("Up to %d events that the partner refuses become dead letters, as was decided.", events)
            self._dispatch.give_up(events, now)

    def _has_drained(self, goals: Mapping[str, Mapping[int, int]]) -> bool:
        """Say whether everything up to the goals is settled. Raises StreamStopped when it cannot come to that."""
        dispatch = self._dispatch
        if dispatch.blame.stopped and (not dispatch.blame.is_refusing or dispatch.blame.looks > LOOKS_OF_A_DRAIN):
            raise standstill.refused(dispatch)
        now, is_up = time.monotonic(), dispatch.breaker is BreakerState.CLOSED
        self._down_since = None if is_up else self._down_since or now
        if self._down_since is not None and now - self._down_since >= self._settings.api.retry_seconds:
            raise standstill.down(now - self._down_since)
        return self._offsets.have_reached(goals)

    def _finish(self) -> None:
        """Wait a while for the requests under way, end the others, and store what is settled and what was tried."""
        self._deliveries.finish()
        self._positions.unused = self._dispatch.blame.credit.granted
        self._offsets.store(time.monotonic(), everything=True)
        self._report()

    def _report(self) -> None:
        progress, dispatch = self._control.progress, self._dispatch
        tally = dispatch.tally
        progress.lag = sum(topic.reader.waiting() for topic in self._topics.values()) + dispatch.held.events
        progress.choose(BREAKER, dispatch.breaker.value)
        progress.set(IN_FLIGHT, dispatch.in_flight)
        progress.reach(REQUESTS, tally.requests)
        progress.reach(RETRIES, tally.retries)
        progress.reach(FAILED, tally.failed)
        progress.reach(DECLINED, tally.declined)
        progress.reach(HALVED, tally.halved)
        progress.reach(DEAD_LETTERS, tally.dead_letters)
        if (settled_to := self._offsets.settled_to) is not None:
            progress.advance(AS_OF, settled_to.timestamp() - _HELD_SECONDS)
        progress.reach(UNRECORDED, self._deliveries.unrecorded)
        self._standstill.log_changes(time.time())
