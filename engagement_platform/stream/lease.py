"""The lease as a loop holds it: registered from its start, claimed when its turn comes, kept by a thread that beats.

Without the platform database a loop that has claimed goes on, for Kafka and Redis fence it; one that waits, waits.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loop_of
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.repeated import Interval, Repeated
from engagement_platform.domain.assignment import Assignment, may_divide, still_at_work
from engagement_platform.domain.errors import EngagementError, Superseded, Unavailable
from engagement_platform.domain.latency import Recent
from engagement_platform.domain.leases import (
    HURRIED,
    ClaimState,
    Lease,
    LeaseSnapshot,
    alive,
    claim_state,
    is_overruled,
    may_claim,
    outlived,
    pause_before_claim,
)
from engagement_platform.domain.loop_state import Activity, LoopState, state_of
from engagement_platform.domain.overload import TOLD_WITHIN, behind_of
from engagement_platform.domain.progress import DONE, EVENTS, OFFERED, to_object
from engagement_platform.domain.rates import Rates
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Settings
from engagement_platform.stream.backoff import Outage
from engagement_platform.stream.control import look_at_nothing
from engagement_platform.stream.progress import Progress
from engagement_platform.stream.registry import DIVIDED
from engagement_platform.stream.stop import Stop, stop_on_signals

log = logging.getLogger("engagement_platform.lease")

BEAT_SECONDS = 1.0
POLL_SECONDS = 0.25
"""How often a loop looks whether it was superseded."""
WAIT_SECONDS = 0.5
"""How often a loop that waits for its turn looks whether the one that streams lives."""
CONNECTIONS_SECONDS = 2.0
"""How often it looks whether its connections hold: what was cut would cost its first batch seconds."""
_ONE_IS_ENOUGH = "Another run waits for the turn already."
_DIVIDED_ANEW = "The partitions are divided anew among shards."
HUNG_SECONDS = 60.0
"""A loop that has not asked for that long whether to stop is hung: it is no longer vouched for."""
END_HUNG_SECONDS = 70.0
"""After so long it is ended, so that it begins anew in its run, before its run is given up for it."""
END_STOPPING_SECONDS = 600.0
"""The same for a loop that was asked to stop: the last requests of forward may take minutes."""


class LeaseControl:
    """The Control of one loop in one run. Made by `hold_lease`."""

    def __init__(
        self,
        settings: Settings,
        run_id: str,
        loop: str,
        loops: Sequence[str],
        *,
        lease_seconds: float,
        end_hung: Callable[[], None],
        shard: Shard = WHOLE,
    ) -> None:
        self.shard = shard
        """The partitions that the run reads."""
        self.end_hung = end_hung
        """Called from the heartbeat's thread when the loop hangs."""
        self.drain = lease_seconds == 0
        self.progress = Progress()
        self._recent, self._rates = Recent(), Rates()
        self.stop = Stop()
        self.run_id = run_id
        self.loop = loop
        self.epoch: int | None = None
        """The epoch that the run has claimed."""
        self.is_claiming = False
        """Whether the loop itself looks at the lease."""
        self._settings = settings
        self._loops = loops
        self._lease_seconds = lease_seconds
        self._leases = Leases(Session(settings, f"{loop}-lease"), shard.index)
        self._awaits: int | None = None
        self.assignment = Assignment(0, shard.of)
        """By which the run was made; known once it has registered."""
        self._keeper = _Keeper(settings, self)
        self.last_asked = time.monotonic()
        """When the loop last showed that it is not hung, by the monotonic clock."""
        self.redis: tuple[float, float] = (0.0, 0.0)
        """By how many seconds Redis is behind, and until when that holds, by the monotonic clock."""

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        """Wait for the run's turn and take it, or join the run when it has it already; `look` now and then meanwhile.

        Raises what `look` does, and Superseded when another run took the turn, or when asked to stop before it came.
        A run that drains does not wait: raises EngagementError when another one streams.
        """
        self._persist(lambda: self._leases.ready(self.run_id, self.loop))
        self.progress.enter(LoopState(Activity.STANDS_BY, time.time()))
        looks, self.is_claiming = Interval(CONNECTIONS_SECONDS, is_due=False), True
        try:
            while self.epoch is None:
                if self.should_stop():
                    raise Superseded(f"The loop ends before its turn came. {self.stop.reason}")
                if looks.is_due:
                    self._require_connections(look)
                    looks.restart()
                self._persist(self._try_to_claim)
        finally:
            self.is_claiming = False

    def should_stop(self) -> bool:
        """Say whether to finish the batch in hand and return."""
        self.last_asked = time.monotonic()
        return self.stop.reason is not None

    def owns_lease(self) -> bool:
        """Ask the platform database whether no other run has claimed since. Raises Unavailable."""
        latest = self._leases.latest()
        if is_overruled(latest, self.assignment.generation):
            return False
        return latest.lease is None or latest.lease.run_id == self.run_id

    def behind(self) -> float:
        """Return by how many seconds Redis is behind, as the tally of the run told a moment ago; else 0."""
        behind, until = self.redis
        return behind if time.monotonic() < until else 0.0

    def wait(self, seconds: float) -> bool:
        """Pause, at most until it is time to stop; return should_stop()."""
        self.last_asked = time.monotonic() + max(seconds, 0.0)
        self.stop.wait(seconds)
        return self.should_stop()

    def expect(self, seconds: float) -> None:
        """Be vouched for, for so long, until the next should_stop()."""
        self.last_asked = time.monotonic() + seconds

    def told(self) -> dict[str, object]:
        """Return what the loop has done, as the platform database keeps it."""
        figures, now = self.progress.figures(), time.monotonic()
        rate = self._rates.of(figures.count(EVENTS), self.progress.lag, now)
        rates = {} if rate is None else {DONE: round(rate.done, 1)}
        if rate is not None and rate.offered is not None:
            rates[OFFERED] = round(rate.offered, 1)
        recent = self._recent.of(figures.latency, now)
        return to_object(replace(figures, gauges={**figures.gauges, **rates}, recent_latency=recent))

    def start(self) -> None:
        """Register as waiting and begin to beat. Waits for the platform database."""
        self._persist(self._register)
        self._keeper.start(self._awaits or 0)

    def end(self, *, planned: bool) -> None:
        """Stop beating; say that the end was planned, so that nobody has to wait for silence."""
        self._keeper.thread.close()  # it may be waiting for a database that does not answer, and is left behind then
        if planned and self._awaits is not None:
            with suppress(Unavailable):
                self._leases.end(self.run_id, self.loop, self.told())
        self._leases.close()

    def _register(self) -> None:
        ensure_schema(self._settings)
        self._awaits = self._leases.register(self.run_id, self.loop, drains=self.drain, shards=self.shard.of)
        self.assignment = Assignment(self._leases.generation_of(self.run_id), self.shard.of)
        if claim_state(self._leases.watch(self.run_id).lease, self.run_id, self._awaits) is ClaimState.SURPLUS:
            self.stop.set(self._surplus())

    def _surplus(self) -> str:
        """Say why the run is one too many."""
        present = self._leases.assignment().shards
        if present == self.shard.of:
            return _ONE_IS_ENOUGH
        return f"The partitions are divided among {present}, and this run was made for {self.shard}."

    def _require_connections(self, look: Callable[[], None]) -> None:
        """Raise what `look` does; then the loop is not ready for its turn any more, until it asks for that again."""
        try:
            look()
        except EngagementError:
            with suppress(Unavailable):
                self._leases.not_ready(self.run_id, self.loop)
            raise

    def _try_to_claim(self) -> None:
        # Whoever waits has watched the holder; a drain, which does not wait, takes all silence for what it is.
        snapshot = self._leases.snapshot(self.run_id) if self.drain else self._leases.watch(self.run_id)
        if is_overruled(snapshot, self.assignment.generation):
            raise Superseded(_DIVIDED_ANEW)
        match claim_state(snapshot.lease, self.run_id, self._awaits or 0):
            case ClaimState.OWNER if at_work := self._at_work_elsewhere():
                self.progress.enter(LoopState(Activity.STANDS_BY, time.time(), reason=f"run {at_work[0]} ends"))
                self.wait(WAIT_SECONDS / 10)
            case ClaimState.OWNER:
                self.epoch = snapshot.epoch
                self.progress.enter(LoopState(Activity.STARTS, time.time()))
                log.info(
                    "%s holds epoch %d%s", self.loop, snapshot.epoch, "" if self.shard.is_whole else f" of {self.shard}"
                )
            case ClaimState.LOST:
                raise Superseded(f"Run {snapshot.lease.run_id if snapshot.lease else '?'} has taken over.")
            case ClaimState.SURPLUS:
                raise Superseded(self._surplus())
            case ClaimState.WAITS if snapshot.declared > self.assignment.generation:
                raise Superseded(_DIVIDED_ANEW)
            case ClaimState.WAITS if self.loop not in snapshot.ready(self.run_id):
                # The database was emptied or put back meanwhile.
                self._leases.ready(self.run_id, self.loop)
                self.wait(WAIT_SECONDS / 10)
            case ClaimState.WAITS if self._may_claim(snapshot):
                self._leases.claim(
                    self.run_id, self._awaits or 0, self._lease_seconds, self._loops, assignment=self.assignment
                )
            case ClaimState.WAITS:
                self._refuse_to_drain_beside(snapshot)
                self.wait(pause_before_claim(snapshot, timedelta(seconds=WAIT_SECONDS)).total_seconds())

    def _may_claim(self, snapshot: LeaseSnapshot) -> bool:
        needed = (self.loop,) if self.drain else self._loops
        former = [one for one in self._former() if alive(one)]
        if not former:
            return may_claim(snapshot, self.run_id, needed)
        if self.drain:
            return False
        are_ready = snapshot.ready(self.run_id) >= set(needed)
        ready = self._leases.ready_shards(self.assignment.generation, sum(name in DIVIDED for name in needed))
        return may_divide(ready if are_ready else (), self.shard.of, snapshot.ready_for(self.run_id))

    def _former(self) -> list[LeaseSnapshot]:
        """Return the leases of earlier assignments; none where the partitions never were divided anew."""
        generation = self.assignment.generation
        return [] if generation == 0 else self._leases.former(generation)

    def _at_work_elsewhere(self) -> list[str]:
        return still_at_work(self._former(), self.loop)

    def _refuse_to_drain_beside(self, snapshot: LeaseSnapshot) -> None:
        if not self.drain:
            return
        held = (snapshot, *self._former())
        streams = [one.lease.run_id for one in held if one.lease is not None and alive(one)]
        if streams:
            raise EngagementError(
                f"Run {streams[0]} streams already, so there is nothing to drain.",
                f"Turn the sensor keep_{self._settings.stream}_stream_alive off and end that run first.",
            )

    def _persist(self, act: Callable[[], None]) -> None:
        """Do `act`, again and again while the platform database does not answer."""
        outage = Outage(log.warning)
        while True:
            try:
                act()
                outage.worked()
                return
            except Unavailable as error:
                self.progress.enter(state_of(error, time.time()))
                if self.wait(outage.failed(error)):
                    raise Superseded(f"The loop ends before it could claim. {self.stop.reason}") from error


class _Keeper:
    """The thread that beats for a loop and looks whether it was superseded."""

    def __init__(self, settings: Settings, control: LeaseControl) -> None:
        self._control = control
        self._leases = Leases(Session(settings, f"{control.loop}-heartbeat"), control.shard.index)
        self._grace = timedelta(seconds=settings.lease.grace_seconds)
        self._awaits = 0
        self._beats = Interval(BEAT_SECONDS - POLL_SECONDS / 2, is_due=True)
        self.thread = Repeated(
            "heartbeat",
            self._keep,
            POLL_SECONDS,
            log=log,
            first=0.0,
            failures=Outage(log.warning, longest=BEAT_SECONDS),
            at_end=self._leases.close,
            patience=BEAT_SECONDS,
        )

    def start(self, awaits: int) -> None:
        self._awaits = awaits
        self.thread.start()

    def _keep(self) -> None:
        self._end_when_hung()
        self._beat_when_due()
        self._look()

    def _beat_when_due(self) -> None:
        control = self._control
        is_due = self._beats.is_due or control.progress.is_news
        if is_due and time.monotonic() - control.last_asked < HUNG_SECONDS:
            control.progress.is_news = False
            self._leases.beat(
                control.run_id,
                control.loop,
                self._awaits,
                control.told(),
                generation=control.assignment.generation,
            )
            self._beats.restart()

    def _end_when_hung(self) -> None:
        patience = END_HUNG_SECONDS if self._control.stop.reason is None else END_STOPPING_SECONDS
        if time.monotonic() - self._control.last_asked > patience:
            log.error("%s has not come to its next batch for %.0f s: it hangs", self._control.loop, patience)
            self._control.end_hung()

    def _look(self) -> None:
        """Look whether the run has lost its turn: also for a loop that cannot claim, for a server of its is away."""
        control = self._control
        epoch = control.epoch  # before the lease is read: what that shows may be older than a claim of this moment
        if epoch is None and control.is_claiming:
            return
        if epoch is not None and control.loop not in HURRIED:
            tally = loop_of(self._leases.session, control.run_id, "tally")
            control.redis = behind_of(tally), time.monotonic() + TOLD_WITHIN
        snapshot = self._leases.latest()
        if is_overruled(snapshot, control.assignment.generation):
            control.stop.set(_DIVIDED_ANEW)
        elif snapshot.lease is not None and self._has_lost_to(snapshot.lease, epoch):
            control.stop.set(f"Run {snapshot.lease.run_id} has taken over.")
        elif snapshot.lease is not None and snapshot.lease.run_id == control.run_id and outlived(snapshot, self._grace):
            control.stop.set("The lease ended and no successor came.")

    def _has_lost_to(self, lease: Lease, epoch: int | None) -> bool:
        run_id = self._control.run_id
        if epoch is not None:
            return lease.run_id != run_id
        return claim_state(lease, run_id, self._awaits) is ClaimState.LOST


@contextmanager
def hold_lease(
    settings: Settings,
    *,
    run_id: str,
    loop: str,
    loops: Sequence[str],
    lease_seconds: float,
    end_hung: Callable[[], None] = lambda: None,
    shard: Shard = WHOLE,
) -> Iterator[LeaseControl]:
    """Register the loop of a run, beat for it while the block runs, and stop it on SIGTERM and SIGINT.

    `loops` are the names of all loops of the run; the lease is alive while all of them beat. 0 `lease_seconds` drain.
    Being superseded is a planned end: the exception stays inside. `end_hung` ends the process of a loop that hangs.
    """
    control = LeaseControl(settings, run_id, loop, loops, lease_seconds=lease_seconds, end_hung=end_hung, shard=shard)
    planned = False
    with stop_on_signals(control.stop):
        try:
            with suppress(Superseded):  # asked to stop already: the loop sees it first of all
                control.start()
            yield control
            planned = True
        except Superseded as end:
            log.info("%s", end)
            planned = True
        finally:
            control.end(planned=planned)
