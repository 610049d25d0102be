"""The heartbeats of the warehouse's runs, over a real database."""

from collections.abc import Iterator

import psycopg
import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.settings import Settings


@pytest.fixture
def beats(settings: Settings) -> Iterator[RunBeats]:
    ensure_schema(settings)
    with RunBeats.opened(settings, "test") as made:
        yield made


def test_a_heartbeat_moves_and_says_what_the_process_is_at(beats: RunBeats) -> None:
    assert beats.beat("a", "settle_day", "2026-03-01")
    _, first = beats.look(["a", "other"])
    assert beats.beat("a", "settle_day", "2026-03-01")
    now, second = beats.look(["a", "other"])
    assert first["a"] is not None
    assert second["a"] is not None
    assert first["a"] < second["a"] <= now
    assert first["other"] is None
    (run,) = beats.at_work()
    assert (run.run_id, run.job, run.subject) == ("a", "settle_day", "2026-03-01")


def test_a_run_is_given_up_only_while_its_heartbeat_stands_still(beats: RunBeats) -> None:
    beats.beat("a", "job", "")
    _, signs = beats.look(["a"])
    beats.beat("a", "job", "")
    assert not beats.give_up("a", "job", signs["a"]), "it has beaten since"
    assert beats.beat("a", "job", "")
    _, signs = beats.look(["a"])
    assert beats.give_up("a", "job", signs["a"])
    assert not beats.beat("a", "job", ""), "it hears of it"
    assert beats.at_work() == []


def test_a_run_that_never_began_hears_of_it_when_it_begins(beats: RunBeats) -> None:
    assert beats.give_up("a", "job", None)
    assert not beats.beat("a", "job", "")
    beats.beat("b", "job", "")
    assert not beats.give_up("b", "job", None), "it has begun meanwhile"


def test_a_run_that_has_ended_is_not_at_work(beats: RunBeats) -> None:
    beats.beat("a", "job", "")
    beats.end("a")
    assert beats.at_work() == []


def test_a_run_of_whose_end_dagster_knows_is_not_at_work(beats: RunBeats, settings: Settings) -> None:
    for run_id in ("killed", "lives", "silent"):
        beats.beat(run_id, "job", "")
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE engagement_platform.run_beat SET beat_at = now() - interval '1 minute' WHERE run_id <> 'lives'"
        )
    beats.close_others(["silent"], 45)
    assert {run.run_id for run in beats.at_work()} == {"lives", "silent"}


def test_a_streaming_run_lives_by_the_heartbeats_of_its_loops(beats: RunBeats, settings: Settings) -> None:
    with Leases.opened(settings, "test") as leases:
        leases.register("lease", "relay")
    assert beats.look(["lease"])[1]["lease"] is not None


def test_old_ones_are_forgotten(beats: RunBeats, settings: Settings) -> None:
    beats.beat("old", "job", "")
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        connection.execute("UPDATE engagement_platform.run_beat SET beat_at = now() - interval '3 hours'")
    beats.beat("new", "job", "")
    beats.prune(2)
    assert [run.run_id for run in beats.at_work()] == ["new"]
