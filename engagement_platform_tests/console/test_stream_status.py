"""The command status, over the real servers."""

import json

import psycopg
import pytest
from click.testing import CliRunner

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.console.commands import status
from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.domain.assignment import Assignment
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.latency import Histogram, to_object
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import DIVIDED, NAMES
from engagement_platform_tests.dead_letters.support import bury, letter
from engagement_platform_tests.processor import cpu_seconds

STOPPED = {"kind": "stopped", "since": 0, "reason": "[red]status 401[/]"}
pytestmark = pytest.mark.usefixtures("in_environment")


def test_it_shows_lease_loops_pauses_and_letters(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_schema(settings)
    bury(settings, [letter(1), letter(2)])
    redrive(settings.replace(api_url=settings.redis.url), Chosen(event_ids=[2]), "", "")
    with Leases.opened(settings, "test") as leases, Pauses.opened(settings, "test") as pauses:
        for loop in NAMES:
            awaits = leases.register("abc", loop)
        leases.beat("before", "tally", 0, {"events": 1000})
        leases.claim("abc", awaits, 60, NAMES)
        latency = Histogram()
        latency.add(0.0205, 98)
        latency.add(0.0886, 2)
        told = {"events": 1234, "lag": 5, "recent_latency": to_object(latency.present())}
        leases.beat("abc", "tally", awaits, told)
        leases.beat("abc", "forward", awaits, {"events": 0, "lag": 0, "state": STOPPED})
        pauses.pause("stage", "me@here", "BigQuery is full")
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(status)
    assert shown.exit_code == 1, "two loops stand still"
    lines = {line.split()[1]: line for line in shown.output.splitlines() if line.startswith("│")}
    sentence, run = shown.output.splitlines()[:2]
    assert sentence.startswith("2 of 4 loops stand still: stage is being paused, since ")
    assert "; forward stopped since 1970-01-01 00:00:00 UTC: [red]status 401[/]" in sentence
    assert run.startswith("Run abc, epoch 1, streams for another ")
    for part in (" 1,234 ", " 5 ", " 21 ms ", " 89 ms ", " streams "):
        assert part in lines["tally"]
    assert "is being paused, since" in lines["stage"]
    assert "by me@here: BigQuery is full" in lines["stage"]
    assert "stopped since 1970-01-01 00:00:00 UTC: [red]status 401[/]" in lines["forward"]
    assert "Dead letters: 1 open, 0 redriving, 1 redriven, 0 discarded" in shown.output
    assert "Forward has stopped: [red]status 401[/]. The partner gets nothing." in shown.output
    assert "    What to do: When it may go on: engagement-platform resume stage\n" in shown.output
    told = json.loads(CliRunner().invoke(status, ["--format", "json"]).output)
    assert told["lease"]["epoch"] == 1
    assert (told["summary"]["well"], told["summary"]["sentence"]) == (False, sentence)
    assert told["loops"][3]["heartbeat"]["progress"]["state"] == STOPPED
    assert [each["loop"] for each in told["loops"]] == list(NAMES)
    assert told["dead_letters"]["open"] == 1
    kinds = [one["kind"] for one in told["conditions"]]
    assert kinds == ["loop_stands_still", "loop_paused", "dead_letters"]
    (tally,) = (one for one in told["totals"] if one["loop"] == "tally")
    assert (tally["destination"], tally["progress"]["events"]) == ("redis", 1234 + 1000), "over a hand-over"

    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 300)
    monkeypatch.setenv("ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    without = CliRunner(env={"COLUMNS": "200"}).invoke(status)
    assert "Dead letters: not known. Kafka at 127.0.0.1:1 does not answer" in without.output


def test_before_the_first_start_it_says_so(settings: Settings) -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(status)
    assert shown.exit_code == 1, "nobody streams"
    assert shown.output.splitlines()[0] == "Nothing has streamed yet."
    assert shown.output.count("has not begun") == len(NAMES)
    assert "Dead letters: not known." in shown.output


def test_all_well_is_said_first_and_an_unknown_lag_is_none(settings: Settings) -> None:
    ensure_schema(settings)
    with Leases.opened(settings, "test") as leases:
        for loop in NAMES:
            awaits = leases.register("abc", loop)
        leases.claim("abc", awaits, 60, NAMES)
        for loop in NAMES:
            leases.beat("abc", loop, awaits, {"events": 1, "lag": None, "state": {"kind": "streams", "since": 0}})
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(status)
    assert (shown.exit_code, shown.output[:9]) == (0, "All well.")
    lines = [line.split("│") for line in shown.output.splitlines() if line.startswith("│")]
    assert [line[4].strip() for line in lines] == ["-"] * 4


def test_it_says_which_shard_nobody_has_whatever_the_settings_have(settings: Settings) -> None:
    """How many there are is what runs have claimed: settings may say how many there will be."""
    ensure_schema(settings)
    for index in (0, 1):
        names = [name for name in NAMES if index == 0 or name in DIVIDED]
        with Leases.opened(settings, "test", index) as leases:
            leases.declare(2, "test")
            for loop in names:
                awaits = leases.register(f"run-{index}", loop, shards=2)
            leases.claim(f"run-{index}", awaits, 60, names, assignment=Assignment(1, 2))
            for loop in names:
                told = {"events": 1, "lag": 3, "state": {"kind": "streams", "since": 0}}
                leases.beat(f"run-{index}", loop, awaits, told, generation=1)
            if index == 0:
                continue
            assert CliRunner(env={"COLUMNS": "200"}).invoke(status).exit_code == 0
            for loop in names:
                leases.end(f"run-{index}", loop, {})
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(status)
    assert shown.exit_code == 1
    assert shown.output.splitlines()[0] == "Shard 1: Nobody streams. Run run-1, epoch 1, has ended."
    assert "Shard 0: Run run-0, epoch 1, streams for another" in shown.output
    assert "keep_engagement_stream_shard_1_alive" in " ".join(shown.output.split())
    told = json.loads(CliRunner().invoke(status, ["--format", "json"]).output)
    assert [one["shard"] for one in told["shards"]] == [0, 1]
    assert [(one["kind"], one["subject"]) for one in told["conditions"]] == [("nobody_streams", "shard 1")]


def test_it_names_the_runs_of_the_warehouse_and_those_without_a_sign_of_life(settings: Settings) -> None:
    ensure_schema(settings)
    with RunBeats.opened(settings, "test") as beats:
        beats.beat("lives", "settle_day", "2026-03-01")
        beats.beat("silent", "backfill", "2026-03-02 to 2026-03-08")
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE engagement_platform.run_beat SET beat_at = now() - interval '75 seconds' WHERE run_id = 'silent'"
        )
    shown = CliRunner().invoke(status).output
    assert "Run lives (settle_day, 2026-03-01) is at work since " in shown
    assert "Run silent (backfill, 2026-03-02 to 2026-03-08) has given no sign of life for 75 s." in shown
    told = json.loads(CliRunner().invoke(status, ["--format", "json"]).output)
    assert [run["run_id"] for run in told["runs"]] == ["lives", "silent"]


def test_it_takes_little_of_the_processor(settings: Settings) -> None:
    """With all that it reads, not much more than its libraries take to be there.

    The least of some: others share the processor's caches.
    """
    ensure_schema(settings)
    program, libraries = (
        ("-m", "engagement_platform", "status"),
        "import click, kafka, msgspec, psycopg, pydantic, redis",
    )
    shares = (cpu_seconds(*program, check=False) / cpu_seconds("-c", libraries) for _ in range(6))
    assert any(share <= 1.5 for share in shares)
