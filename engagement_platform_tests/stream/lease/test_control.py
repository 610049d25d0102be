"""What a loop sees of its lease."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loops_of
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.domain.errors import EngagementError, Superseded, Unavailable
from engagement_platform.domain.leases import LeaseSnapshot, Loop
from engagement_platform.domain.progress import DONE, EVENTS, OPEN_IDS, from_object
from engagement_platform.settings import Settings
from engagement_platform.stream import lease as module
from engagement_platform.stream.lease import LeaseControl, hold_lease
from engagement_platform_tests.streaming import wait_for

log = logging.getLogger("engagement_platform.test")


def held(
    settings: Settings, run_id: str, seconds: float = 60, loop: str = "relay", loops: tuple[str, ...] = ("relay",)
) -> AbstractContextManager[LeaseControl]:
    return hold_lease(settings, run_id=run_id, loop=loop, loops=loops, lease_seconds=seconds)


def test_it_owns_what_it_claimed_until_another_run_claims(platform: Settings) -> None:
    with held(platform, "a") as control:
        control.claim()
        assert control.epoch == 1
        assert control.owns_lease()
        assert not control.drain
        leases = Leases(Session(platform, "other"))
        leases.claim("b", leases.register("b", "relay"), 60, ["relay"])
        leases.close()
        assert not control.owns_lease()
        assert control.wait(2), "a superseded loop is told within a poll"
        assert control.stop.reason == "Run b has taken over."


def test_progress_goes_with_the_heartbeat(platform: Settings) -> None:
    with held(platform, "a") as control:
        control.progress.count(EVENTS, 7)
        control.progress.latency.add(0.02, 3)
        control.progress.set(OPEN_IDS, 2)
    with Session(platform, "other") as session:
        figures = loops_of(session, "a")["relay"].figures
    gauges = {gauge: number for gauge, number in figures.gauges.items() if gauge is not DONE}
    assert replace(figures, gauges=gauges) == replace(from_object(control.told()), gauges=gauges)
    assert figures.count(EVENTS) == 7
    assert figures.gauge(OPEN_IDS) == 2
    assert figures.latency == figures.recent_latency
    assert figures.latency.count == 3


def test_a_drain_claims_at_once_and_its_loops_come_one_after_the_other(platform: Settings) -> None:
    for loop in ("relay", "tally"):
        with held(platform, "a", 0, loop, ("relay", "tally")) as control:
            assert control.drain
            control.claim()
            assert control.epoch == 1
    leases = Leases(Session(platform, "test"))
    assert leases.latest().lease.released_at is not None  # type: ignore[union-attr]
    leases.close()


@pytest.mark.parametrize("stream", ["engagement", "orders"])
def test_a_drain_beside_a_stream_is_refused(platform: Settings, stream: str) -> None:
    settings = platform.replace(stream=stream)
    with held(settings, "streaming") as first:
        first.claim()
        with (
            pytest.raises(EngagementError, match="Run streaming streams already") as raised,
            held(settings, "a", 0) as b,
        ):
            b.claim()
        assert not isinstance(raised.value, Superseded)
        assert f"the sensor keep_{stream}_stream_alive off" in raised.value.todo
        assert first.owns_lease()


def test_a_loop_that_waits_looks_whether_its_connections_hold_and_may_wait_again(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_SECONDS", 0.05)
    looks: list[None] = []

    def look() -> None:
        looks.append(None)
        if len(looks) == 3:
            raise Unavailable("The source does not answer.")

    with streaming(platform, "first") as leases, held(platform, "waiting") as waiting:
        with pytest.raises(Unavailable):
            waiting.claim(look)
        assert waiting.epoch is None
        assert not is_ready(leases, "waiting"), "a loop that is not connected is not ready"
        turn = threading.Thread(target=waiting.claim, args=(look,), daemon=True)
        turn.start()
        wait_for(lambda: len(looks) > 4, "it looks again")
        assert is_ready(leases, "waiting")
        leases.end("first", "relay", {})
        turn.join(30)
        assert waiting.epoch == 2


def test_a_loop_that_cannot_claim_as_a_server_is_away_learns_that_its_run_has_lost_its_turn(platform: Settings) -> None:
    with streaming(platform, "first") as leases, held(platform, "late") as late:
        leases.claim("late", 2, 60, ["relay"])  # by another loop of it
        leases.claim("third", leases.register("third", "relay"), 60, ["relay"])
        assert late.wait(30), "nobody told it"
        assert late.stop.reason == "Run third has taken over."


def test_a_loop_that_cannot_claim_as_a_server_is_away_keeps_its_turn(platform: Settings) -> None:
    """Also beside a lease that is over, whose run goes on: its end is that run's business."""
    platform = platform.replace(lease_grace_seconds=0)
    with streaming(platform, "first", seconds=0.1) as leases, held(platform, "late") as late:
        beaten = of_relay(leases, "late").heartbeat_at
        wait_for(
            lambda: of_relay(leases, "late").heartbeat_at - beaten > timedelta(seconds=1.5), "beats, with looks between"
        )
        assert late.stop.reason is None


def test_what_a_look_saw_before_the_claim_does_not_end_the_run_that_claimed(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with streaming(platform, "first"), held(platform, "second") as second:
        latest, seen, judged = Leases.latest, threading.Event(), threading.Event()

        def claimed_meanwhile(leases: Leases) -> LeaseSnapshot:
            if seen.is_set():
                judged.set()
                raise Unavailable("One look is enough.")
            snapshot = latest(leases)
            second.epoch = 2
            seen.set()
            return snapshot

        monkeypatch.setattr(Leases, "latest", claimed_meanwhile)
        assert judged.wait(30)
        assert second.stop.reason is None


def test_a_run_that_waits_is_ready_again_after_the_database_was_emptied(platform: Settings) -> None:
    with streaming(platform, "first") as leases, held(platform, "second") as second:
        turn = threading.Thread(target=second.claim, daemon=True)
        turn.start()
        wait_for(lambda: is_ready(leases, "second"), "a run that waits")
        leases.session.execute("DELETE FROM {schema}.stream_loop")
        wait_for(lambda: is_ready(leases, "second"), "a run that waits again")
        wait_for(lambda: leases.snapshot("first").of("first"), "the one that streams, which has to be there to end")
        leases.end("first", "relay", {})
        turn.join(30)
        assert second.epoch == 2


def is_ready(leases: Leases, run_id: str) -> bool:
    return "relay" in leases.snapshot(run_id).ready(run_id)


@contextmanager
def streaming(platform: Settings, run_id: str, seconds: float = 60) -> Iterator[Leases]:
    """Let a run of the relay alone hold the lease, and beat."""
    with Leases.opened(platform, "test") as leases, Leases.opened(platform, "beats") as beating:
        awaits = leases.register(run_id, "relay")
        leases.claim(run_id, awaits, seconds, ["relay"])
        with Repeated("beats", lambda: beating.beat(run_id, "relay", awaits, {}), 0.2, log=log, first=0.0):
            yield leases


def of_relay(leases: Leases, run_id: str) -> Loop:
    return leases.snapshot(run_id).of(run_id)["relay"]


def test_an_exception_does_not_release(platform: Settings) -> None:
    def fail() -> None:
        with held(platform, "a") as control:
            control.claim()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    leases = Leases(Session(platform, "test"))
    assert leases.latest().lease.released_at is None  # type: ignore[union-attr]
    leases.close()


def test_a_hung_loop_is_no_longer_vouched_for(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HUNG_SECONDS", 1.0)
    with Leases.opened(platform, "test") as leases, held(platform, "a") as control:
        control.claim()
        wait_for(lambda: silent_for(leases) > timedelta(seconds=3), "the heartbeat to cease")
        control.should_stop()
        wait_for(lambda: silent_for(leases) < timedelta(seconds=1), "the heartbeat of a loop that goes on")


def test_a_loop_that_hangs_for_long_is_ended(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_HUNG_SECONDS", 1.0)
    ended = threading.Event()
    with hold_lease(
        platform, run_id="a", loop="relay", loops=("relay",), lease_seconds=60, end_hung=ended.set
    ) as control:
        control.claim()
        control.expect(0.5)
        assert not ended.is_set()
        assert ended.wait(10)


def silent_for(leases: Leases) -> timedelta:
    return leases.snapshot().now - heartbeat(leases)


def test_a_loop_that_waits_for_a_slow_server_is_vouched_for(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HUNG_SECONDS", 0.5)
    with Leases.opened(platform, "test") as leases, held(platform, "a") as control:
        control.claim()
        control.expect(30)
        beaten = heartbeat(leases)
        wait_for(lambda: heartbeat(leases) - beaten > timedelta(seconds=1), "heartbeats")
        control.should_stop()
        assert control.last_asked <= time.monotonic()


def heartbeat(leases: Leases) -> datetime:
    (loop,) = leases.snapshot().loops
    return loop.heartbeat_at


def test_handlers_are_put_back(platform: Settings) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with held(platform, "a") as control:
        signal.raise_signal(signal.SIGTERM)
        assert control.should_stop()
        assert control.wait(30), "a wait ends at once when asked to stop"
    assert {number: signal.getsignal(number) for number in before} == before
