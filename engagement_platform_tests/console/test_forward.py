import pytest
from click.testing import CliRunner

from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.console.give_up import forward
from engagement_platform.settings import Settings
from engagement_platform_tests.stream.forward.support import publish


def test_where_forward_begins_is_asked_for_first_and_then_said(settings: Settings, in_environment: None) -> None:
    publish(settings, range(9))
    declined = CliRunner().invoke(forward, ["restart", "--at", "latest"], input="n\n")
    assert declined.exit_code == 1
    assert "is not delivered" in declined.output
    assert stored(settings) == {}
    done = CliRunner().invoke(forward, ["restart", "--at", "latest", "--yes"])
    assert done.exit_code == 0, done.output
    assert sum(stored(settings).values()) == 9
    assert f"{settings.topics.events}: forward goes on from the offsets 0: " in done.output
    assert "--since" not in done.output, "Kafka has all of it"


def stored(settings: Settings) -> dict[int, int]:
    reader = GroupReader(settings.kafka, settings.topics.events, settings.topics.forward_group)
    try:
        return {partition: each.offset for partition, each in reader.stored().items()}
    finally:
        reader.close()


def test_a_restart_does_without_the_platforms_database_and_another_programs_notes(
    settings: Settings, in_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They tell since when events are missing; without them that is not known, and said so."""
    publish(settings, range(3))
    reader = GroupReader(settings.kafka, settings.topics.events, settings.topics.forward_group)
    reader.store(dict.fromkeys(reader.partitions, 0), dict.fromkeys(reader.partitions, "some note"))
    reader.close()
    done = CliRunner().invoke(forward, ["restart", "--at", "earliest", "--yes"])
    assert done.exit_code == 0, done.output
    assert "backfill --to api --since TIME" in done.output
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/unused")
    monkeypatch.setenv("ENGAGEMENT_FORWARD_GROUP", "another")
    done = CliRunner().invoke(forward, ["restart", "--at", "earliest", "--yes"])
    assert done.exit_code == 0, done.output
    assert "forward goes on from" in done.output
