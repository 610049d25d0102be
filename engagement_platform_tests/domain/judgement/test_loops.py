"""Loops that stand still: who is said to wait for what, and what it means."""

from dataclasses import replace
from datetime import timedelta

from engagement_platform.domain.conditions import Kind
from engagement_platform.domain.judgement.standing import Expected
from engagement_platform.domain.judgement.stream import conditions_of
from engagement_platform.domain.promises import NONE
from engagement_platform.domain.status import LoopStatus
from engagement_platform_tests.domain.judgement.standings import AT, EXPECTED, NOW, STREAMS, late, only, standing, waits


def test_loops_that_wait_for_one_server_are_one_condition() -> None:
    kafka = "Kafka at localhost:9092"
    condition = only(standing(relay=waits(kafka, lag=12_261), tally=waits(kafka), forward=waits(kafka)))
    assert condition.key == ("engagement", "loop_stands_still", kafka)
    assert condition.loops == ("relay", "tally", "forward")
    assert condition.what == f"Relay, tally and forward wait for {kafka} (Connection refused)."
    assert "12,261 events wait in the source; nothing is lost." in condition.means
    assert condition.since == AT - 50


def test_loops_that_wait_for_different_servers_are_two() -> None:
    found = conditions_of(standing(tally=waits("Redis at localhost:6379"), stage=waits("the platform database")))
    assert [one.subject for one in found] == ["Redis at localhost:6379", "the platform database"]
    assert found[0].what == "Tally waits for Redis at localhost:6379 (Connection refused)."
    assert "views in Redis stand still" in found[0].means


def test_a_stopped_loop_has_the_remedy_of_its_error_and_does_not_say_that_nothing_is_lost() -> None:
    state = {"kind": "stopped", "since": AT - 9, "reason": "Another table has its ids.", "remedy": "Run this."}
    condition = only(standing(relay={"lag": 7, "state": state}))
    assert (condition.kind, condition.subject, condition.todo) == (Kind.LOOP_STANDS_STILL, "relay", "Run this.")
    assert condition.what == "Relay has stopped: Another table has its ids."
    assert "nothing is lost" not in condition.means
    assert "could lose or double" in condition.means


def test_a_refused_loop_names_who_refuses() -> None:
    state = {"kind": "refused", "since": AT, "subject": "the source", "reason": "no SELECT", "remedy": "GRANT it."}
    condition = only(standing(relay={"state": state}))
    assert (condition.what, condition.todo) == ("Relay is refused by the source (no SELECT).", "GRANT it.")


def test_a_loop_without_a_sign_of_life_is_said_since_its_last_one() -> None:
    condition = only(standing(tally=LoopStatus("tally", 19, ended=False, progress=STREAMS)))
    assert (condition.form, condition.since) == ("is_silent", AT - 19)
    condition = only(standing(tally=None))
    assert (condition.form, condition.since) == ("has_not_begun", (NOW - timedelta(minutes=9)).timestamp())
    condition = only(standing(tally={"state": {"kind": "starts", "since": AT - 60}}))
    assert condition.form == "starts_for_long"


def test_an_unknown_lag_is_no_number() -> None:
    condition = only(standing(tally=waits("Redis at localhost:6379", lag=None)))
    assert "Events wait in Kafka; nothing is lost" in condition.means


def test_a_sink_of_which_nobody_has_said_more_is_told_by_its_name() -> None:
    facts = standing(relay=STREAMS)
    loops = {**facts.loops, "files": LoopStatus("files", 0, ended=False, progress=late(99))}
    assert conditions_of(replace(facts, loops=loops, expected=(*EXPECTED, Expected("files", "files", NONE)))) == []
    loops["files"] = LoopStatus("files", 0, ended=False, progress=waits("the disk"))
    condition = only(replace(facts, loops=loops, expected=(*EXPECTED, Expected("files", "files", NONE))))
    assert condition.means.startswith("Nothing new comes to files. 3 events wait in Kafka")
