"""The forms of messages and their numbers, over a real database."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.schemas import Schemas
from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.schema_history import Numbered
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.platform.conftest import of_stream
from engagement_platform_tests.streams import ENGAGEMENT


@pytest.fixture(params=["engagement", "orders"])
def settings_of(request: pytest.FixtureRequest, bare: Settings) -> Settings:
    return of_stream(bare, request.param)


@pytest.fixture
def schemas(settings_of: Settings) -> Iterator[Schemas]:
    with Schemas.opened(settings_of, "test") as made:
        yield made


def form(*names: str, base: str = "text") -> Schema:
    columns = (Column("id", parsed("integer")), Column("at", parsed("timestamp")))
    return Schema((*columns, *(Column(name, parsed(base)) for name in names)), id="id", time="at", key="id")


def numbers(schemas: Schemas) -> list[int]:
    return list(schemas.all())


def test_a_form_gets_the_next_number_once(schemas: Schemas) -> None:
    first = max(numbers(schemas), default=0) + 1
    assert [schemas.note(form("a")) for _ in range(3)] == [first] * 3
    assert schemas.note(form("a", "b")) == first + 1
    assert schemas.note(form("a")) == first, "an earlier form keeps its number"
    assert list(schemas.all().items())[-1] == (first + 1, form("a", "b"))


def test_what_was_noted_comes_back_in_every_detail(schemas: Schemas) -> None:
    for base in ("numeric(18,2)", "array of numeric(38,9)", "jsonb", "char"):
        number = schemas.note(form("ä ' $$", base=base))
        assert schemas.all()[number] == form("ä ' $$", base=base)


def test_forms_that_were_lost_come_back_under_their_numbers_and_what_is_there_stays(schemas: Schemas) -> None:
    last = max(numbers(schemas), default=0)
    schemas.put_back({})
    schemas.put_back({last + 2: form("b"), last + 5: form("e")})
    assert numbers(schemas)[-2:] == [last + 2, last + 5]
    before = schemas.all()
    schemas.put_back({last + 2: form("other"), last + 7: form("e")})
    assert schemas.all() == before
    assert schemas.note(form("c"), published={last + 3: form("c")}) == last + 3
    assert schemas.note(form("f"), published={last + 8: form("h")}) == last + 9


def test_a_number_that_messages_had_is_not_given_to_another_form(schemas: Schemas) -> None:
    assert schemas.note(form("a"), at_least=7) == 7
    assert schemas.note(form("a"), at_least=9) == 7
    assert schemas.note(form("b")) == 8


def test_what_may_not_be_the_next_form_is_not_noted(schemas: Schemas) -> None:
    first = schemas.note(form("a"))

    def refuse(kept: Numbered) -> None:
        assert max(kept) == first
        raise StreamStopped("no")

    with pytest.raises(StreamStopped):
        schemas.note(form("b"), refuse)
    assert max(numbers(schemas)) == first
    assert schemas.note(form("c")) == first + 1


def test_relays_that_note_at_once_agree_on_the_numbers(schemas: Schemas, settings_of: Settings) -> None:
    """Eight of them: each the same forms, in another order."""
    before = len(schemas.all())
    forms = [form(name) for name in "abcdef"]
    noted: list[dict[Schema, int]] = []
    start = threading.Barrier(8)

    def note_all(turn: int) -> None:
        with Schemas.opened(settings_of, "race") as mine:
            mine.all()
            start.wait(10)
            noted.append({one: mine.note(one) for one in forms[turn % 6 :] + forms[: turn % 6]})

    threads = [threading.Thread(target=note_all, args=[turn]) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(noted) == 8
    assert all(one == noted[0] for one in noted)
    assert numbers(schemas) == list(range(1, before + 7)), "without a gap"


LATER = (
    "stream_schema",
    "rejection_credit",
    "audit",
    "alert",
    "alert_watch",
    "day_comparison",
    "delivery",
    "erasure",
    "location_watch",
    "stream_assignment",
    "warehouse_load_wal",
)
"""Tables that a database of before the forms were numbered does not have."""


def put_back(connection: psycopg.Connection, schema: str) -> None:
    """Make a schema one of before the forms were numbered: migration 0007 was its last."""
    for table in LATER:
        connection.execute(f"DROP TABLE IF EXISTS {schema}.{table}")
    connection.execute(
        f"ALTER TABLE {schema}.stream_lease DROP CONSTRAINT IF EXISTS stream_lease_pkey, DROP COLUMN shard,"
        f" DROP COLUMN shards, DROP COLUMN generation, ADD PRIMARY KEY (epoch);"
        f"ALTER TABLE {schema}.stream_loop DROP COLUMN shard, DROP COLUMN generation;"
        f"DROP INDEX {schema}.warehouse_load_version;"
        f"ALTER TABLE {schema}.forward_position DROP COLUMN settled_by;"
        f"UPDATE {schema}.schema_version SET version_num = '0007'"
    )


def test_the_first_form_of_a_stream_that_ran_before_forms_were_numbered_is_there(migrated: Settings) -> None:
    with psycopg.connect(migrated.platform.dsn.get_secret_value()) as connection:
        put_back(connection, "engagement_platform")
        connection.execute(
            "INSERT INTO engagement_platform.relay_checkpoint_mirror (topic, generation, hi, checkpoint, recorded_at)"
            " VALUES ('events', 0, 1, '', now())"
        )
    ensure_schema(migrated)
    with Schemas.opened(migrated, "test") as schemas:
        assert schemas.all() == {1: ENGAGEMENT}
        assert schemas.note(ENGAGEMENT) == 1


def test_another_stream_begins_without_a_form(bare: Settings) -> None:
    with Schemas.opened(of_stream(bare, "orders"), "test") as schemas:
        assert schemas.all() == {}
        assert schemas.note(form("a")) == 1


def test_a_form_of_a_later_version_is_told(migrated: Settings) -> None:
    with psycopg.connect(migrated.platform.dsn.get_secret_value()) as connection:
        connection.execute(
            "INSERT INTO engagement_platform.stream_schema (number, hash, form) VALUES "
            """(7, 'x', '{"columns": [["id", "hyperinteger"]], "id": "id", "time": "at", "key": "id"}')"""
        )
    later = pytest.raises(StreamStopped, match="number 7 is of a later version")
    with Schemas.opened(migrated, "test") as schemas, later:
        schemas.all()
