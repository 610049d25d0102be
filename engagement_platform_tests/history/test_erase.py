from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from engagement_platform.domain.errors import EngagementError
from engagement_platform.history.erase import days_of_user, remains
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import DAY, NEXT, table_rows, write

NOW = datetime(2026, 3, 5, tzinfo=UTC)


def test_a_user_is_gone_from_the_days_that_held_it(settings: Settings, source_db: SourceDatabase) -> None:
    user, other = uuid4(), uuid4()
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        for day in (DAY, NEXT):
            write(owner, 2, day, user_id=user)
            write(owner, 1, day, user_id=other)
        drain(relay.run, settings)
        drain(stage.run, settings)
        with pytest.raises(EngagementError, match="still has 4 events"):
            days_of_user(settings, str(user))
        owner.execute("DELETE FROM engagement_events WHERE user_id = %s", [user])
    days = days_of_user(settings, str(user))
    assert days == [DAY, NEXT]
    rebuild_days(settings, days, "erase", allow_removal=True)
    assert days_of_user(settings, str(user)) == []
    assert {row["user_id"] for row in table_rows(settings)} == {str(other)}


def test_events_of_the_user_that_are_still_on_their_way_do_not_come_back(
    settings: Settings, source_db: SourceDatabase
) -> None:
    user = uuid4()
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        write(owner, 2, user_id=user)
        write(owner, 2)
        drain(relay.run, settings)
        owner.execute("DELETE FROM engagement_events WHERE user_id = %s", [user])
    rebuild_days(settings, [DAY], "erase", allow_removal=True)
    drain(stage.run, settings)
    assert [row["id"] for row in table_rows(settings)] == [3, 4]


def test_what_remains_is_said_with_its_end(settings: Settings) -> None:
    drain(relay.run, settings)
    found = remains(settings, NOW)
    assert found[f"Kafka's topic {settings.topics.events}"] == NOW + timedelta(days=8), (
        "a segment takes records for a day"
    )
    assert found[f"Kafka's topic {settings.topics.dead_letters}"] is None
    assert any("history" in place and until is not None and until > NOW for place, until in found.items())
