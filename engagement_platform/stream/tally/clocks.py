"""The tally's look at two clocks: it counts and builds views only while Redis' clock and Kafka's agree.

A clock that is set wrong, or a failover to a replica whose clock lags, would build views for another time than the
present. So the tally waits until the clocks agree again; as_of stands still meanwhile, which tells readers.
"""

import logging
import time
from collections.abc import Mapping

from engagement_platform.adapters.kafka.consumer import TopicReader, latest_arrival
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.topics import newest_arrival
from engagement_platform.adapters.redis.counts import Counts, ViewsState
from engagement_platform.domain.clocks import Between, Clocks, KafkaClock, apart_ms, compare
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control, require_lease

log = logging.getLogger("engagement_platform.tally")

POLL_MS = 100
CONFIRM_SECONDS = 2.0
"""How long a message is waited for that confirms that Redis' clock is ahead. Without messages nothing can be missed."""
_PAUSE_SECONDS = 0.2
_REMEDY = "Compare `redis-cli TIME` with the clocks of Kafka's brokers, and let NTP keep both."


def steady_seconds() -> float:
    """Return a clock that nobody sets, and that goes on while the machine sleeps, where there is one."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class ClockWatch:
    """What one tally knows of Kafka's clock, and its wait for the two clocks to agree."""

    def __init__(self, settings: Settings, control: Control, reader: TopicReader, counts: Counts) -> None:
        self._settings = settings
        self._control = control
        self._reader = reader
        self._counts = counts
        self._kafka = KafkaClock(settings.kafka.transaction_timeout_ms)

    def poll(self, timeout_ms: int) -> dict[int, list[Record]]:
        """Return what the reader polls, and note what it tells of Kafka's clock."""
        records = self._reader.poll(timeout_ms)
        self._kafka.polled(latest_arrival(records), steady_seconds(), at_end=self._reader.is_at_end())
        return records

    def moved(self) -> None:
        """Note that the reader has gone elsewhere."""
        self._kafka.moved()

    def between(self) -> Between:
        """Return what is known of Kafka's clock at present."""
        return self._kafka.between(steady_seconds())

    def state_to_build_on(self, state: ViewsState) -> ViewsState:
        """Return a state by whose clock views can be built; the newest message is asked for when none was read yet."""
        if self.between().at_least_ms is None:
            arrived = newest_arrival(self._settings.kafka, self._settings.topics.events, self._reader.partitions)
            if arrived is not None:
                self._kafka.written(arrived, steady_seconds())
        return state if compare(state.now_ms, self.between()) is Clocks.AGREE else self.agreed_state()

    def agreed_state(self) -> ViewsState:
        """Return the state of the live views once the clocks agree, or when it is time to stop.

        The reader may be elsewhere afterwards.
        """
        state = self._counts.state()
        verdict = compare(state.now_ms, self.between())
        if verdict is Clocks.AGREE:
            return state
        self._reader.seek(self._reader.end_offsets())
        self._kafka.moved()
        since = time.monotonic()
        told = False
        while not self._control.should_stop():
            self._look_again(verdict)
            state = self._counts.state()
            verdict = compare(state.now_ms, self.between())
            if verdict is Clocks.AGREE:
                break
            if not told:
                told = self._tell(state)
            require_lease(self._control)
            self._control.progress.lag = _behind(self._reader.positions(), state.offsets)
            self._control.wait(_PAUSE_SECONDS)
        if told:
            log.warning("Redis' clock agrees with Kafka's again after %.1f s.", time.monotonic() - since)
        return state

    def _look_again(self, verdict: Clocks) -> None:
        """Poll at the end of the topic, until a message has told what there is to know."""
        if verdict is Clocks.AHEAD:
            self._kafka.doubt()
        deadline = time.monotonic() + CONFIRM_SECONDS
        while time.monotonic() < deadline and not self._control.should_stop():
            self.poll(POLL_MS)
            if verdict is Clocks.BEHIND or self.between().at_most_ms is not None:
                return

    def _tell(self, state: ViewsState) -> bool:
        apart = apart_ms(state.now_ms, self.between()) / 1000
        how = f"{abs(apart):.0f} s or more {'behind' if apart < 0 else 'ahead of'} Kafka's"
        self._control.progress.enter(LoopState(Activity.WAITS, time.time(), "Redis' clock", f"it is {how}", _REMEDY))
        log.warning("Redis' clock is %s. Nothing is counted until they agree, and nothing is lost. %s", how, _REMEDY)
        return True


def _behind(ends: Mapping[int, int], offsets: Mapping[int, int]) -> int:
    return sum(max(0, end - offsets.get(partition, 0)) for partition, end in ends.items())
