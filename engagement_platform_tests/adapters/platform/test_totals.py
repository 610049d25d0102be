"""What a loop has done in all its runs only grows, whatever becomes of the runs. Against a real PostgreSQL."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, totals
from engagement_platform.domain.latency import Histogram
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.progress import AS_OF, EVENTS, Figures, to_object
from engagement_platform.settings import Settings


@pytest.fixture
def leases(migrated: Settings) -> Iterator[Leases]:
    found = Leases(Session(migrated, "test"))
    yield found
    found.close()


class Run:
    """One process of one loop, which counts from nothing."""

    def __init__(self, leases: Leases, run_id: str, loop: str = "tally") -> None:
        self._leases, self.run_id, self.loop = leases, run_id, loop
        self._events, self._latency = 0, Histogram()
        leases.register(run_id, loop)

    def works(self, events: int) -> None:
        self._events += events
        self._latency.add(0.02, events)

    def beats(self) -> None:
        self._leases.beat(self.run_id, self.loop, 1, self._told())

    def ends(self) -> None:
        self._leases.end(self.run_id, self.loop, self._told())

    def _told(self) -> dict[str, object]:
        state = LoopState(Activity.STREAMS, 1.0)
        return to_object(
            Figures({EVENTS: self._events}, {AS_OF: 1.0}, {}, self._latency.present(), self._latency.present(), state)
        )


def done(leases: Leases, loop: str = "tally") -> tuple[int, int]:
    """Return events and latencies of all runs."""
    figures = totals(leases.session).get(loop, Figures())
    return figures.count(EVENTS), figures.latency.count


@contextmanager
def ago(settings: Settings, interval: str) -> Iterator[None]:
    """Let what the block notes have been noted so long ago."""
    yield
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE engagement_platform.stream_loop"
            " SET heartbeat_at = heartbeat_at - %(by)s::interval, ended_at = ended_at - %(by)s::interval,"
            " counted_at = counted_at - %(by)s::interval",
            {"by": interval},
        )


def test_it_goes_on_over_a_hand_over(leases: Leases) -> None:
    first = Run(leases, "a")
    first.works(3)
    first.beats()
    assert done(leases) == (3, 3)
    second = Run(leases, "b")
    second.works(4)
    second.beats()
    first.works(1)
    first.ends()
    assert done(leases) == (8, 8)
    Run(leases, "c")
    assert done(leases) == (8, 8)
    second.works(1)
    second.ends()
    assert done(leases) == (9, 9)


def test_a_loop_that_begins_anew_in_its_run_counts_on(leases: Leases) -> None:
    killed = Run(leases, "a")
    killed.works(5)
    killed.beats()
    again = Run(leases, "a")
    assert done(leases) == (5, 5)
    again.beats()
    assert done(leases) == (5, 5)
    again.works(2)
    again.beats()
    assert done(leases) == (7, 7)


def test_what_old_runs_have_done_stays_when_they_are_forgotten(leases: Leases, migrated: Settings) -> None:
    with ago(migrated, "8 days"):
        for run_id in ("a", "b"):
            run = Run(leases, run_id)
            run.works(10)
            run.ends()
    relay = Run(leases, "b", "relay")
    relay.works(2)
    relay.beats()
    assert done(leases) == (20, 20)
    leases.prune(24 * 7)
    with psycopg.connect(migrated.platform.dsn.get_secret_value()) as connection:
        rows = connection.execute("SELECT run_id, loop FROM engagement_platform.stream_loop").fetchall()
    assert rows == [("b", "relay")]
    assert (done(leases), done(leases, "relay")) == ((20, 20), (2, 2))


def test_a_run_that_was_taken_for_dead_and_beats_again_is_added_once(leases: Leases, migrated: Settings) -> None:
    sleeper = Run(leases, "a")
    with ago(migrated, "1 hour"):
        sleeper.works(6)
        sleeper.beats()
    Run(leases, "b")
    assert done(leases) == (6, 6)
    sleeper.works(1)
    sleeper.beats()
    assert done(leases) == (7, 7)
    with ago(migrated, "1 hour"):
        sleeper.beats()
    Run(leases, "c")
    assert done(leases) == (7, 7)


def test_the_last_run_says_how_the_loop_stands_also_when_it_is_in_the_total(leases: Leases) -> None:
    run = Run(leases, "a")
    run.works(1)
    run.ends()
    Run(leases, "b", "relay")
    leases.prune(24 * 7)
    figures = totals(leases.session)["tally"]
    assert (figures.count(EVENTS), figures.gauge(AS_OF)) == (1, 1.0)
    assert figures.state is not None


@pytest.mark.parametrize("seed", range(2))
def test_it_never_falls_and_nothing_counts_twice(leases: Leases, migrated: Settings, seed: int) -> None:
    chance = random.Random(seed)
    runs = [Run(leases, "run-0")]
    told: dict[Run, int] = {}
    before = 0
    for step in range(1, 60):
        run = chance.choice(runs)
        match chance.choice(["work", "work", "work", "begin", "again", "end", "prune", "wait"]):
            case "work":
                run.works(chance.randrange(5))
                run.beats()
                told[run] = run._events
            case "begin":
                runs.append(Run(leases, f"run-{step}"))
            case "again":
                runs.remove(run)  # killed; its op begins anew
                runs.append(Run(leases, run.run_id))
            case "end":
                run.ends()
            case "prune":
                leases.prune(24 * 7)
            case "wait":
                with ago(migrated, "20 minutes"):
                    pass
        events, latencies = done(leases)
        assert before <= events == latencies == sum(told.values())
        before = events
