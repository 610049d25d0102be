"""The relay's checkpoints of the past: which are kept, and which one tells what a time had seen."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engagement_platform.adapters.platform import mirror, published
from engagement_platform.adapters.platform.connection import Session, connect_platform
from engagement_platform.domain.checkpoint import Checkpoint, SourceIdentity
from engagement_platform.settings import Settings

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def checkpoint(hi: int, generation: int = 0) -> Checkpoint:
    source = SourceIdentity("1", 1, "media")
    return Checkpoint(source=source, hi=hi, missing=[], unseen_at=hi * 100, generation=generation)


def keep(settings: Settings, hi: int, ago: timedelta, generation: int = 0) -> None:
    """Keep a checkpoint as that of a time in the past."""
    with Session(settings, "test") as session:
        session.execute(mirror._SQL["keep"], **mirror._parameters(settings, checkpoint(hi, generation)))
        session.execute(
            "UPDATE {schema}.relay_checkpoint_history SET recorded_at = %(at)s WHERE topic = %(topic)s AND hi = %(hi)s",
            at=NOW - ago,
            topic=settings.topics.events,
            hi=hi,
        )


def hi_of(found: Checkpoint | None) -> int | None:
    return None if found is None else found.hi


def test_the_first_of_a_relay_is_kept_and_then_one_a_minute(migrated: Settings) -> None:
    with mirror.Mirror(migrated) as copy:
        for hi in range(1, 100):
            copy.record(checkpoint(hi))
    assert hi_of(published.before(migrated, datetime.now(UTC))) == 1
    with connect_platform(migrated, "test") as connection:
        connection.execute("UPDATE engagement_platform.relay_checkpoint_history SET recorded_at = %s", [NOW - HOUR])
    with mirror.Mirror(migrated) as copy:
        copy.record(checkpoint(100))
    assert hi_of(published.before(migrated, datetime.now(UTC))) == 100


def test_one_that_an_operator_sets_is_kept_at_once(migrated: Settings) -> None:
    mirror.replace(migrated, checkpoint(9))
    mirror.replace(migrated, checkpoint(3, generation=1))
    assert [each.hi for each, _ in published.generations(migrated)] == [9, 3]


def test_a_time_had_seen_what_was_kept_before_it(migrated: Settings) -> None:
    for hi, minutes in ((10, 30), (20, 20), (30, 10)):
        keep(migrated, hi, timedelta(minutes=minutes))
    at = [hi_of(published.before(migrated, NOW - timedelta(minutes=minutes))) for minutes in (31, 30, 15, 0)]
    assert at == [None, 10, 20, 30]
    after = [hi_of(published.after(migrated, NOW - timedelta(minutes=minutes))) for minutes in (31, 15, 0)]
    assert after == [10, 30, None]
    assert [hi_of(published.before_unseen(migrated, us)) for us in (1_000, 1_001, 2_500)] == [None, 10, 20]


def test_old_ones_are_thinned_out_and_the_first_of_each_generation_stays(migrated: Settings) -> None:
    days = timedelta(days=1)
    keep(migrated, 1, 90 * days)
    keep(migrated, 2, 80 * days)
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    for hi, minute in ((10, 1), (11, 2), (12, 59)):
        keep(migrated, hi, NOW - (hour - 5 * days + timedelta(minutes=minute)))
    for hi, minute in ((20, 1), (21, 2)):
        keep(migrated, hi, NOW - (hour - 1 * days + timedelta(minutes=minute)))
    keep(migrated, 5, 70 * days, generation=1)
    published.thin(migrated, 24 * 30)
    with connect_platform(migrated, "test") as connection:
        left = connection.execute("SELECT hi FROM engagement_platform.relay_checkpoint_history ORDER BY hi").fetchall()
    assert [hi for (hi,) in left] == [1, 5, 10, 20, 21]


@pytest.mark.usefixtures("bare")
def test_without_the_schema_nothing_was_kept(bare: Settings) -> None:
    assert published.before(bare, NOW) is None
    assert published.generations(bare) == []


def test_between_which_times_an_event_was_published(migrated: Settings) -> None:
    for hi, minutes in ((10, 30), (20, 20), (30, 10)):
        keep(migrated, hi, timedelta(minutes=minutes))

    def minutes_ago(event_id: int) -> tuple[int | None, int | None]:
        since, until = published.around(migrated, event_id)
        return (
            None if since is None else round((NOW - since - timedelta(seconds=10)) / timedelta(minutes=1)),
            None if until is None else round((NOW - until) / timedelta(minutes=1)),
        )

    assert minutes_ago(5) == (None, 30)
    assert minutes_ago(11) == (30, 20)
    assert minutes_ago(20) == (30, 20)
    assert minutes_ago(31) == (10, None)


def test_an_event_that_was_missing_for_long_was_published_when_it_came(migrated: Settings) -> None:
    for hi, missing in ((10, []), (20, [11, 0, 5, 3]), (30, [11, 0, 5, 3]), (40, []), (50, [])):
        with Session(migrated, "test") as session:
            parameters = mirror._parameters(migrated, msgspec.structs.replace(checkpoint(hi), missing=missing))
            session.execute(mirror._SQL["keep"], **parameters)
            session.execute(
                "UPDATE {schema}.relay_checkpoint_history SET recorded_at = %(at)s WHERE hi = %(hi)s",
                at=NOW - timedelta(minutes=100 - hi),
                hi=hi,
            )
    late, usual = published.around(migrated, 11), published.around(migrated, 12)
    assert late[1] == NOW - timedelta(minutes=60)
    assert usual[1] == NOW - timedelta(minutes=80)
    assert published.around(migrated, 18)[1] == late[1]
