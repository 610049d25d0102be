"""`backfill --to …`: since is since when the stream published it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from engagement_platform.adapters.platform.connection import connect_platform
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.backfill import backfill
from engagement_platform.recovery import relay as relay_recovery
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain, read_all
from engagement_platform_tests.warehouse import DAY, write


def run(*arguments: str) -> Result:
    return CliRunner().invoke(backfill, ["--to", "replay-topic", *arguments])


def replayed(settings: Settings) -> list[int]:
    return sorted(json.loads(record.value)["id"] for record in read_all(settings, settings.topics.replays))


def an_hour_passes(settings: Settings) -> None:
    """What was kept until now was kept an hour ago."""
    with connect_platform(settings, "test") as connection:
        connection.execute(
            "UPDATE engagement_platform.relay_checkpoint_history SET recorded_at = recorded_at - interval '1 hour'"
        )


def ago(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


@pytest.mark.usefixtures("in_environment")
def test_since_is_since_it_was_published(settings: Settings, source_db: SourceDatabase) -> None:
    """An event of long ago whose transaction was open then, one of today; not what was published before."""
    ensure_schema(settings)
    with (
        psycopg.connect(source_db.writer_dsn, autocommit=True) as owner,
        psycopg.connect(source_db.writer_dsn) as late,
    ):
        early = write(owner, 3)
        old = write(late, 1, DAY - timedelta(days=20))
        write(owner, 2)
        drain(relay.run, settings)
        an_hour_passes(settings)
        drain(relay.run, settings)  # a later checkpoint, of just before the half hour
        with connect_platform(settings, "test") as connection:
            connection.execute(
                "UPDATE engagement_platform.relay_checkpoint_history SET recorded_at = now() - interval '40 minutes' "
                "WHERE recorded_at > now() - interval '30 minutes'"
            )
        late.commit()
        new = write(owner, 2, datetime.now(UTC).date())
        drain(relay.run, settings)
        write(owner, 1)  # not published yet: the stream brings it
    done = run("--since", ago(30))
    assert done.exit_code == 0, done.output
    assert replayed(settings) == sorted([*old, *new])
    assert not set(early) & set(replayed(settings))
    assert "3 events published from" in done.output


@pytest.mark.usefixtures("in_environment")
def test_what_an_operator_took_back_was_published_again(settings: Settings, source_db: SourceDatabase) -> None:
    ensure_schema(settings)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        ids = write(owner, 3)
    drain(relay.run, settings)
    drain(relay.run, settings)
    an_hour_passes(settings)
    relay_recovery.reset(settings, "earliest")
    drain(relay.run, settings)
    assert run("--since", ago(30)).exit_code == 0
    assert replayed(settings) == ids


@pytest.mark.usefixtures("in_environment")
def test_events_by_their_ids_and_by_their_own_time(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        ids = write(owner, 3)
    said = run("--ids", f"{ids[0]}, {ids[2]}")
    assert said.exit_code == 0, said.output
    assert replayed(settings) == [ids[0], ids[2]]
    said = run("--by", "event-time", "--since", str(DAY), "--until", f"{DAY}T00:00:02")
    assert "1 events that happened from" in said.output
    assert replayed(settings) == sorted([ids[0], ids[0], ids[2]])


@pytest.mark.usefixtures("in_environment")
def test_before_the_first_checkpoint_the_time_of_the_events_counts_too(
    settings: Settings, source_db: SourceDatabase
) -> None:
    """Nobody knows what was published then: rather more than too little."""
    ensure_schema(settings)
    began = settings.replace(start="latest")
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        (old,) = write(owner, 1)
        (recent,) = write(owner, 1, datetime.now(UTC).date())
        assert "2 events" not in run("--since", str(datetime.now(UTC).date())).output
        assert replayed(settings) == [recent]
        drain(relay.run, began)
        (new,) = write(owner, 1)
        drain(relay.run, began)
    said = run("--since", str(datetime.now(UTC).date()))
    assert "No checkpoint is kept from before" in said.output
    assert replayed(settings) == sorted([recent, recent, new])
    assert old not in replayed(settings)


@pytest.mark.usefixtures("in_environment")
def test_on_another_source_ids_are_not_compared(settings: Settings, source_db: SourceDatabase) -> None:
    ensure_schema(settings)
    drain(relay.run, settings)
    an_hour_passes(settings)
    with connect_platform(settings, "test") as connection:
        connection.execute(
            "UPDATE engagement_platform.relay_checkpoint_history SET checkpoint = convert_to("
            "replace(convert_from(checkpoint, 'UTF8'), '\"database\":\"test', '\"database\":\"other'), 'UTF8')"
        )
    found: Any = run("--since", ago(30)).exception
    assert "was replaced since" in str(found)
    assert "--by event-time" in str(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "2999-01-01"], "--since '2999-01-01' lies in the future"),
        (["--since", "2999-01-01", "--to", "warehouse"], "--since '2999-01-01' lies in the future"),
        (["--since", "2999-01-01", "--until", "2999-02-01", "--by", "event-time"], "--since '2999-01-01'"),
        (["--since", "soon"], "--since 'soon' is not a time"),
        (["--since", "0001-01-01T00:00:00+14:00"], "is not a time"),
        (["--since", "2024-01-01", "--until", "9999-12-31T23:00:00-14:00"], "is not a time"),
        (["--since", "2024-01-01", "--until", "2999-01-01", "--to", "warehouse"], "--until lies after today"),
        (["--ids", "99999999999999999999"], "is no list"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "--until has to be after --since"),
        (["--stale", "--until", "2026-01-01", "--to", "warehouse"], "--until goes with --since"),
        (["--retry", "x", "--until", "2026-01-01", "--to", "warehouse"], "--until goes with --since"),
        (["--resume", "x", "--until", "2026-01-01", "--to", "warehouse"], "--until goes with --since"),
        (["--ids", "1", "--until", "2026-01-01"], "--until goes with --since"),
        (["--ids", "1,x"], "--ids '1,x' is no list"),
        (["--ids", "1", "--to", "warehouse"], "--ids goes with"),
        (["--ids", "1", "--since", "2026-01-01"], "Give one of"),
        ([], "Give one of"),
    ],
)
@pytest.mark.usefixtures("in_environment")
def test_options_at_fault_are_named(settings: Settings, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
