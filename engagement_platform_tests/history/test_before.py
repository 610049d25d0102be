"""What the stream had not brought is found before the rebuild that brings it, and kept."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.ids import IdRange
from engagement_platform.history.before import covered
from engagement_platform.history.rebuild import missed_before, rebuild_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import DAY, NEXT, source_ids, table_ids, write


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def given_up(source_db: SourceDatabase) -> int:
    """Take an id whose transaction rolls back."""
    with psycopg.connect(source_db.writer_dsn) as connection:
        (number,) = write(connection)
        connection.rollback()
    return number


def insert(owner: psycopg.Connection[Any], number: int) -> None:
    owner.execute(
        "INSERT INTO engagement_events (id, event_type, event_ts) VALUES (%s, 'play', %s)", [number, f"{DAY} 12:00+00"]
    )


def stream(settings: Settings) -> None:
    """Publish and load what is there, until the id that was taken back is given up."""
    ensure_schema(settings)
    for loop in (relay.run, relay.run, stage.run):
        drain(loop, settings)


def missed(settings: Settings, run_id: str) -> dict[Any, tuple[int, tuple[int, ...]]]:
    found = missed_before(settings, run_id, [DAY, NEXT])
    return {day: (ids.count, ids.first) for day, ids in found.items()}


def test_an_id_that_passed_the_stream_by_is_found_and_the_finding_outlives_the_repair(
    settings: Settings, owner: psycopg.Connection[Any], source_db: SourceDatabase
) -> None:
    write(owner, 2)
    number = given_up(source_db)
    write(owner, 2)
    stream(settings)
    insert(owner, number)  # an id that somebody chose: no polling sees it
    drain(relay.run, settings)
    drain(stage.run, settings)
    assert number not in table_ids(settings)

    rebuild_days(settings, [DAY, NEXT], "night")
    assert table_ids(settings) == source_ids(source_db)
    assert missed(settings, "night") == {DAY: (1, (number,)), NEXT: (0, ())}
    rebuild_days(settings, [DAY, NEXT], "night")  # its op was tried again
    assert missed(settings, "night")[DAY] == (1, (number,))
    rebuild_days(settings, [DAY], "later")
    assert missed(settings, "later") == {DAY: (0, ())}


def test_what_is_on_its_way_is_not_missed(settings: Settings, owner: psycopg.Connection[Any]) -> None:
    """Published and not loaded yet, or not published yet."""
    write(owner, 3)
    drain(relay.run, settings)
    drain(stage.run, settings)
    write(owner, 3)
    drain(relay.run, settings)
    write(owner, 3)
    rebuild_days(settings, [DAY], "run")
    assert missed(settings, "run") == {DAY: (0, ())}


def test_a_dead_letter_is_not_missed(settings: Settings, owner: psycopg.Connection[Any]) -> None:
    write(owner, 1)
    write(owner, 1, raw_payload='"' + "x" * 2_000_000 + '"')
    drain(relay.run, settings)
    drain(stage.run, settings)
    assert len(table_ids(settings)) == 1
    rebuild_days(settings, [DAY], "run")
    assert missed(settings, "run") == {DAY: (0, ())}


def test_what_was_there_before_the_stream_began_is_not_missed(
    settings: Settings, owner: psycopg.Connection[Any]
) -> None:
    write(owner, 5)
    began = settings.replace(start="latest")
    drain(relay.run, began)
    write(owner, 2)
    drain(relay.run, began)
    drain(stage.run, began)
    rebuild_days(began, [DAY], "run")
    assert len(table_ids(settings)) == 7
    assert missed(settings, "run") == {DAY: (0, ())}


def test_what_was_moved_to_the_day_is_not_missed(
    settings: Settings, owner: psycopg.Connection[Any], source_db: SourceDatabase
) -> None:
    ids = write(owner, 4)
    stream(settings)
    owner.execute("UPDATE engagement_events SET event_ts = %s WHERE id = %s", [f"{NEXT} 12:00+00", ids[0]])
    rebuild_days(settings, [NEXT], "run")
    assert missed(settings, "run") == {NEXT: (0, ())}


def test_a_finding_is_kept_although_the_rebuild_fails(
    settings: Settings, owner: psycopg.Connection[Any], source_db: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = given_up(source_db)
    write(owner, 2)
    stream(settings)
    insert(owner, number)
    finish = Rebuilds.finish

    def dies(*_: object) -> bool:
        raise RuntimeError("the process dies here")

    monkeypatch.setattr(Rebuilds, "finish", dies)
    with pytest.raises(RuntimeError):
        rebuild_days(settings, [DAY], "night")
    monkeypatch.setattr(Rebuilds, "finish", finish)
    rebuild_days(settings, [DAY], "night")
    assert missed(settings, "night") == {DAY: (1, (number,))}


def test_coverage_of_many_ids_at_once() -> None:
    import numpy as np

    coverage = Coverage(10, (IdRange(3, 4), IdRange(8, 8)))
    ids = np.arange(1, 13)
    assert covered(coverage, ids).tolist() == [coverage.covers(int(each)) for each in ids]
    assert covered(Coverage(2), ids).tolist() == [each <= 2 for each in ids]
