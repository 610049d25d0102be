"""What is said of lease and loops."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engagement_platform.domain.leases import Board, Lease, Loop
from engagement_platform.domain.pauses import Pause
from engagement_platform.domain.standing import LoopStanding, lease_in_words, loop_in_words

EPOCH = "since 1970-01-01 00:00:00 UTC"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAUSE = Pause("tally", NOW, "me@here", "Redis moves")


def board(*, left: float = 60, released: bool = False, silent: float = 0) -> Board:
    lease = Lease(
        7, "abc", NOW - timedelta(minutes=9), NOW + timedelta(seconds=left), NOW if released else None, ("relay",)
    )
    beat = NOW - timedelta(seconds=silent)
    return Board(NOW, lease, (Loop("abc", "relay", 7, beat, beat, None),))


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Board(NOW, None, ()), "Nothing has streamed yet."),
        (board(), "Run abc, epoch 7, streams for another 60 s."),
        (board(left=-5), "Run abc, epoch 7, streams until its successor comes."),
        (board(released=True), "Nobody streams. Run abc, epoch 7, has ended."),
        (board(silent=44), "Nobody streams. Run abc, epoch 7, has been silent for 44 s."),
    ],
)
def test_who_streams(shown: Board, words: str) -> None:
    assert lease_in_words(shown) == words


def standing(silent: float = 0, *, ended: bool = False, **progress: Any) -> LoopStanding:
    return LoopStanding("tally", silent, ended, progress)


@pytest.mark.parametrize(
    ("found", "pause", "words"),
    [
        (standing(), None, "runs"),
        (None, None, "has not begun"),
        (standing(ended=True), None, "has ended"),
        (standing(9), None, "is silent"),
        (standing(state={"kind": "stopped", "since": 0, "reason": "It is."}), None, f"stopped {EPOCH}: It is."),
        (standing(state={"kind": "idle", "since": 0, "reason": "no address"}), None, "idle: no address"),
        (standing(), PAUSE, f"is being paused, {PAUSE}"),
        (standing(state={"kind": "paused", "since": 0}), PAUSE, f"paused {PAUSE}"),
        (standing(ended=True), PAUSE, f"paused {PAUSE}"),
        (None, PAUSE, "paused since 2026-03-01 12:00:00 UTC by me@here: Redis moves"),
    ],
)
def test_what_a_loop_does(found: LoopStanding | None, pause: Pause | None, words: str) -> None:
    assert loop_in_words(found, pause) == words


def test_latencies_may_not_be_there() -> None:
    assert standing().latency("p50") is None
    assert standing(latency_ms={"p50": None}).latency("p50") is None
    assert standing(latency_ms={"p50": 21}).latency("p50") == 21.0
