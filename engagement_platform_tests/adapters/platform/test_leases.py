"""The lease's statements against a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from engagement_platform.adapters.platform.connection import Session, connect_platform
from engagement_platform.adapters.platform.leases import Leases, totals
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.leases import ClaimState, alive, claim_state, may_claim, waiting
from engagement_platform.domain.progress import EVENTS
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings

LOOPS = ("relay", "tally")


@pytest.fixture
def leases(migrated: Settings) -> Iterator[Leases]:
    found = Leases(Session(migrated, "test"))
    yield found
    found.close()


def own(leases: Leases, run_id: str, seconds: float = 600, *, drains: bool = False) -> int:
    """Let a run with both loops claim."""
    relay, tally = (leases.register(run_id, loop, drains=drains) for loop in LOOPS)
    assert relay == tally
    leases.claim(run_id, relay, seconds, LOOPS)
    return relay


def execute(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.platform.dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(statement.encode())


def test_an_empty_board_has_no_lease(leases: Leases) -> None:
    snapshot = leases.snapshot()
    assert snapshot.lease is None
    assert snapshot.loops == ()
    assert snapshot.epoch == 0


def test_a_claim_shows_on_the_board(leases: Leases) -> None:
    own(leases, "a", 600)
    leases.ready("a", "relay")
    snapshot = leases.snapshot()
    assert snapshot.lease is not None
    assert (snapshot.lease.epoch, snapshot.lease.run_id, snapshot.lease.loops) == (1, "a", LOOPS)
    assert (snapshot.lease.ends_at - snapshot.lease.claimed_at).total_seconds() == 600
    assert snapshot.of("a")["relay"].ready_at is not None
    assert snapshot.of("a")["tally"].ready_at is None
    assert alive(snapshot)


def test_all_loops_of_a_run_await_one_epoch_whatever_happens_between(leases: Leases) -> None:
    assert leases.register("late", "relay") == 1
    own(leases, "a", drains=True)
    assert leases.register("late", "tally") == 1
    snapshot = leases.snapshot("late")
    assert claim_state(snapshot.lease, "late", 1) is ClaimState.LOST


def test_a_retry_joins_the_epoch_of_its_run(leases: Leases) -> None:
    assert own(leases, "a") == 1
    assert leases.register("a", "relay") == 1
    assert claim_state(leases.snapshot("a").lease, "a", 1) is ClaimState.OWNER


def test_a_retry_joins_although_the_loops_were_forgotten(leases: Leases, migrated: Settings) -> None:
    own(leases, "a")
    execute(migrated, "DELETE FROM engagement_platform.stream_loop")
    assert leases.register("a", "relay") == 1


def test_an_old_run_never_claims_again(leases: Leases) -> None:
    own(leases, "a")
    own(leases, "b")
    awaits = leases.register("a", "relay")
    leases.claim("a", awaits, 600, LOOPS)
    leases.claim("a", 3, 600, LOOPS)  # nor by mistake, with a later epoch
    snapshot = leases.snapshot("a")
    assert snapshot.lease is not None
    assert (snapshot.lease.epoch, snapshot.lease.run_id) == (2, "b")
    assert claim_state(snapshot.lease, "a", awaits) is ClaimState.LOST


@pytest.mark.parametrize("attempt", range(5))
def test_of_runs_that_claim_at_once_one_wins(migrated: Settings, leases: Leases, attempt: int) -> None:
    runs = [f"{attempt}-{number}" for number in range(6)]
    together = Barrier(len(runs))

    def claim(run_id: str) -> ClaimState:
        mine = Leases(Session(migrated, "race"))
        try:
            awaits = mine.register(run_id, "relay", drains=True)  # else all but one would see that they are surplus
            together.wait(20)
            mine.claim(run_id, awaits, 600, LOOPS)
            return claim_state(mine.snapshot(run_id).lease, run_id, awaits)
        finally:
            mine.close()

    with ThreadPoolExecutor(len(runs)) as pool:
        stands = list(pool.map(claim, runs))
    assert sorted(each.value for each in stands) == ["lost"] * 5 + ["owner"]


def test_siblings_that_claim_at_once_both_own(migrated: Settings) -> None:
    together = Barrier(2)

    def claim(loop: str) -> ClaimState:
        mine = Leases(Session(migrated, "race"))
        try:
            awaits = mine.register("a", loop)
            together.wait(20)
            mine.claim("a", awaits, 600, LOOPS)
            return claim_state(mine.snapshot("a").lease, "a", awaits)
        finally:
            mine.close()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(claim, LOOPS)) == [ClaimState.OWNER, ClaimState.OWNER]


def test_the_last_loop_to_end_releases(leases: Leases) -> None:
    own(leases, "a")
    leases.end("a", "relay", {})
    assert leases.latest().lease.released_at is None  # type: ignore[union-attr]
    leases.end("a", "tally", {})
    assert leases.latest().lease.released_at is not None  # type: ignore[union-attr]
    assert not alive(leases.snapshot())


def test_loops_that_end_together_release(migrated: Settings, leases: Leases) -> None:
    own(leases, "a")

    def end(loop: str) -> None:
        Leases(Session(migrated, "end")).end("a", loop, {})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(end, LOOPS))
    assert leases.latest().lease.released_at is not None  # type: ignore[union-attr]


def test_who_was_superseded_releases_nothing(leases: Leases) -> None:
    own(leases, "a")
    own(leases, "b")
    for loop in LOOPS:
        leases.end("a", loop, {})
    snapshot = leases.snapshot()
    assert snapshot.lease is not None
    assert (snapshot.lease.run_id, snapshot.lease.released_at) == ("b", None)


def test_a_waiting_run_shows_and_may_claim_once_the_time_has_come(leases: Leases) -> None:
    own(leases, "a", 0.001)
    for loop in LOOPS:
        leases.register("b", loop)
    assert waiting(leases.snapshot()) == {"b"}
    for loop in LOOPS:
        leases.ready("b", loop)
    assert may_claim(leases.snapshot("b"), "b", LOOPS)


def test_who_waited_before_the_databases_clock_was_set_back_makes_no_other_run_surplus(
    leases: Leases, migrated: Settings
) -> None:
    leases.register("dead", "relay")
    with connect_platform(migrated, "test") as connection:
        connection.execute("UPDATE engagement_platform.stream_loop SET heartbeat_at = now() + interval '1 hour'")
    assert leases.register("next", "relay") == 1


def test_a_beat_brings_back_a_row_that_was_lost(leases: Leases, migrated: Settings) -> None:
    own(leases, "a")
    execute(migrated, "DELETE FROM engagement_platform.stream_loop")
    leases.beat("a", "relay", 1, {"events": 3})
    assert set(leases.snapshot().of("a")) == {"relay"}


def test_pruning_keeps_the_latest_lease_and_its_loops(leases: Leases, migrated: Settings) -> None:
    own(leases, "a")
    own(leases, "b")
    execute(migrated, "UPDATE engagement_platform.stream_lease SET claimed_at = now() - interval '9 days'")
    execute(migrated, "UPDATE engagement_platform.stream_loop SET heartbeat_at = now() - interval '9 days'")
    leases.prune(24 * 7)
    snapshot = leases.snapshot("a")
    assert snapshot.epoch == 2
    assert {loop.run_id for loop in snapshot.loops} == {"b"}
    assert leases.register("c", "relay") == 3


def have_run(settings: Settings, number: int) -> None:
    """Let so many runs of relay have ended long ago, each after one event, and none be in the total."""
    execute(
        settings,
        "INSERT INTO engagement_platform.stream_loop (run_id, loop, awaits, heartbeat_at, ended_at, progress) "
        "SELECT 'old ' || n, 'relay', 1, now() - interval '9 days', now() - interval '9 days', '{\"events\": 1}' "
        f"FROM generate_series(1, {number}) AS n",
    )


def relay_in_all(settings: Settings) -> int:
    with Session(settings, "test") as session:
        return totals(session)["relay"].count(EVENTS)


def test_pruning_forgets_nothing_of_what_more_runs_have_done_than_are_added_up_at_a_time(
    leases: Leases, migrated: Settings
) -> None:
    own(leases, "a")
    have_run(migrated, 700)
    assert relay_in_all(migrated) == 700
    for left in (200, 0):
        leases.prune(24 * 7)
        assert relay_in_all(migrated) == 700
        with connect_platform(migrated, "test") as connection:
            row = connection.execute(
                "SELECT count(*) FROM engagement_platform.stream_loop WHERE run_id LIKE 'old %'"
            ).fetchone()
        assert row is not None
        assert row[0] == left


def test_a_loop_that_begins_anew_is_added_up_though_many_older_runs_are_not_yet(
    leases: Leases, migrated: Settings
) -> None:
    have_run(migrated, 1_300)
    own(leases, "a")
    leases.beat("a", "relay", 1, {"events": 5})
    leases.register("a", "relay")
    assert relay_in_all(migrated) == 1_305


def test_it_connects_anew_after_the_server_closed_the_connection(leases: Leases, stack: Endpoints) -> None:
    own(leases, "a")
    with psycopg.connect(stack.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'engagement-test'"
        )
    with pytest.raises(Unavailable, match="platform database"):
        leases.latest()
    assert leases.latest().epoch == 1
