"""What is said of lease and loops."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engagement_platform.domain.latency import Histogram, to_object
from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.status import LoopStatus, lease_in_words, loop_in_words, summarize

EPOCH = "since 1970-01-01 00:00:00 UTC"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAUSE = Pause("tally", NOW, "me@here", "Redis moves")


def snapshot(*, left: float = 60, released: bool = False, silent: float = 0) -> LeaseSnapshot:
    lease = Lease(
        7, "abc", NOW - timedelta(minutes=9), NOW + timedelta(seconds=left), NOW if released else None, ("relay",)
    )
    beat = NOW - timedelta(seconds=silent)
    return LeaseSnapshot(NOW, lease, (Loop("abc", "relay", 7, beat, beat, None),))


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (LeaseSnapshot(NOW, None, ()), "Nothing has streamed yet."),
        (snapshot(), "Run abc, epoch 7, streams for another 60 s."),
        (snapshot(left=-5), "Run abc, epoch 7, streams until its successor comes."),
        (snapshot(released=True), "Nobody streams. Run abc, epoch 7, has ended."),
        (snapshot(silent=44), "Nobody streams. Run abc, epoch 7, has been silent for 44 s."),
    ],
)
def test_who_streams(shown: LeaseSnapshot, words: str) -> None:
    assert lease_in_words(shown) == words


def loop_status(silent: float = 0, *, ended: bool = False, **progress: Any) -> LoopStatus:
    return LoopStatus("tally", silent, ended, progress)


@pytest.mark.parametrize(
    ("found", "pause", "words"),
    [
        (loop_status(), None, "streams"),
        (None, None, "has not begun"),
        (loop_status(ended=True), None, "has ended"),
        (loop_status(19), None, "is silent for 19 s"),
        (loop_status(state={"kind": "stopped", "since": 0, "reason": "It is."}), None, f"stopped {EPOCH}: It is."),
        (loop_status(state={"kind": "idle", "since": 0, "reason": "no address"}), None, "idle: no address"),
        (loop_status(), PAUSE, f"is being paused, {PAUSE}"),
        (loop_status(state={"kind": "paused", "since": 0}), PAUSE, f"paused {PAUSE}"),
        (loop_status(ended=True), PAUSE, f"paused {PAUSE}"),
        (None, PAUSE, "paused since 2026-03-01 12:00:00 UTC by me@here: Redis moves"),
    ],
)
def test_what_a_loop_does(found: LoopStatus | None, pause: Pause | None, words: str) -> None:
    assert loop_in_words(found, pause) == words


def test_latencies_may_not_be_there() -> None:
    assert loop_status().latency(0.5) is None
    assert loop_status(recent_latency={"of": "another version"}).latency(0.5) is None
    timed = Histogram()
    timed.add(0.021)
    assert loop_status(recent_latency=to_object(timed.present())).latency(0.5) == 0.021


WAITS = {"kind": "waits", "since": 0, "subject": "Redis at h:1", "reason": "ConnectionError"}
STREAMS = {"kind": "streams", "since": 0}
STARTING = {"kind": "starts", "since": NOW.timestamp() - 5}
HANGING = {"kind": "starts", "since": NOW.timestamp() - 60}


def said(
    shown: LeaseSnapshot, loops: dict[str, LoopStatus], pauses: dict[str, Pause] | None = None
) -> tuple[bool, str]:
    summary = summarize(shown, loops, pauses or {}, ("relay", "tally"))
    return summary.well, summary.sentence


@pytest.mark.parametrize("state", [STREAMS, STARTING, {"kind": "idle", "since": 0, "reason": "no address"}, {}])
def test_all_is_well_while_every_loop_streams_or_is_right_not_to(state: dict[str, Any]) -> None:
    loops = {"relay": loop_status(state=STREAMS), "tally": loop_status(state=state)}
    assert said(snapshot(), loops) == (True, "All well. Run abc, epoch 7, streams for another 60 s.")


@pytest.mark.parametrize(
    ("tally", "sentence"),
    [
        (
            loop_status(state=WAITS),
            f"1 of 2 loops stands still: tally waits for Redis at h:1 {EPOCH} (ConnectionError)",
        ),
        (loop_status(state=HANGING), "1 of 2 loops stands still: tally starts"),
        (loop_status(19, state=STREAMS), "1 of 2 loops stands still: tally is silent for 19 s"),
        (None, "1 of 2 loops stands still: tally has not begun"),
    ],
)
def test_a_loop_through_which_no_event_passes_is_named_with_its_reason(tally: LoopStatus | None, sentence: str) -> None:
    loops = {"relay": loop_status(state=STREAMS)} | ({} if tally is None else {"tally": tally})
    assert said(snapshot(), loops) == (False, sentence)


def test_a_paused_loop_stands_still_too() -> None:
    loops = {"relay": loop_status(state=STREAMS), "tally": loop_status(state={"kind": "paused", "since": 0})}
    well, sentence = said(snapshot(), loops, {"tally": PAUSE})
    assert not well
    assert sentence == f"1 of 2 loops stands still: tally paused {PAUSE}"


@pytest.mark.parametrize("shown", [LeaseSnapshot(NOW, None, ()), snapshot(released=True), snapshot(silent=44)])
def test_nobody_streams(shown: LeaseSnapshot) -> None:
    assert said(shown, {"relay": loop_status(state=STREAMS), "tally": loop_status()}) == (False, lease_in_words(shown))


def test_the_lag_is_unknown_where_nobody_tells_it() -> None:
    assert loop_status(lag=3).lag == 3
    assert loop_status(lag=None).lag is None
    assert loop_status().lag is None
    assert loop_status(19, lag=3).lag is None, "a loop that is silent may have fallen behind since"
