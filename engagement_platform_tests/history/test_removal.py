"""A rebuild does not take a large part of a day's rows away unless it is told to."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.console.warehouse import warehouse
from engagement_platform.domain.removal import RemovalRefused
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
from engagement_platform_tests.warehouse import DAY, NEXT, oracle_rows, table_ids, table_rows, write


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def stream(settings: Settings) -> None:
    drain(relay.run, settings)
    drain(stage.run, settings)


@pytest.mark.parametrize("deleted", [12, 7])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_day_is_left_as_it_is_and_the_others_are_rebuilt(
    settings: Settings, owner: psycopg.Connection[Any], source_db: SourceDatabase, deleted: int, indexed: bool
) -> None:
    if indexed:
        owner.execute("CREATE INDEX ON engagement_events (event_ts)")
    ids, others = write(owner, 12), write(owner, 3, NEXT)
    stream(settings)
    owner.execute("DELETE FROM engagement_events WHERE id = ANY(%s)", [ids[:deleted]])
    owner.execute("UPDATE engagement_events SET device = 'tv' WHERE id = %s", [others[0]])
    with pytest.raises(RemovalRefused, match=f"{DAY}: {deleted} of the 12 rows .* source has {12 - deleted} of"):
        rebuild_days(settings, [DAY, NEXT], "run")
    assert table_ids(settings, DAY) == ids
    assert [row["device"] for row in table_rows(settings) if row["id"] in others] == ["tv", "ios", "ios"]
    with Loads.opened(settings, "test") as loads:
        assert Rebuilds(loads.session).all_open(open_warehouse(settings).ensure(ENGAGEMENT_EVENTS)) == []

    more = write(owner, 2)  # the stream goes on, and a coverage that was refused is not in force
    stream(settings)
    assert table_ids(settings, DAY) == [*ids, *more]

    rebuild_days(settings, [DAY], "told", allow_removal=True)
    assert table_rows(settings) == oracle_rows(source_db)


def test_updates_and_deletes_as_usual_need_not_be_told(
    settings: Settings, owner: psycopg.Connection[Any], source_db: SourceDatabase
) -> None:
    ids = write(owner, 12)
    stream(settings)
    owner.execute("DELETE FROM engagement_events WHERE id = ANY(%s)", [ids[:5]])
    rebuild_days(settings, [DAY], "run")
    assert table_rows(settings) == oracle_rows(source_db)


def test_other_rows_in_place_of_as_many_are_a_removal(settings: Settings, owner: psycopg.Connection[Any]) -> None:
    ids = write(owner, 5)
    stream(settings)
    owner.execute("DELETE FROM engagement_events")
    write(owner, 5)
    with pytest.raises(RemovalRefused, match="5 of the 5 rows"):
        rebuild_days(settings, [DAY], "run")
    assert table_ids(settings) == ids


def test_a_day_that_is_due_and_is_to_stay_as_it_is_can_be_left(
    settings: Settings, owner: psycopg.Connection[Any], in_environment: None
) -> None:
    """The owner keeps less than the warehouse does."""
    ids = write(owner, 3)
    stream(settings)
    owner.execute("DELETE FROM engagement_events")
    table_id = open_warehouse(settings).ensure(ENGAGEMENT_EVENTS)
    with Loads.opened(settings, "test") as loads:
        DueDays(loads.session).note(table_id, [DAY, NEXT], "expired")
        with pytest.raises(RemovalRefused, match="warehouse not-due DAY"):
            rebuild_days(settings, [DAY], "due")
        said = CliRunner().invoke(warehouse, ["not-due", str(DAY)])
        assert said.exit_code == 0, said.output
        assert [due.day for due in DueDays(loads.session).all()] == [NEXT]
    assert table_ids(settings) == ids
