"""The table of a stream follows the forms of its messages, in the stage and in a rebuild alike."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from deltalake import DeltaTable, Field
from deltalake.schema import PrimitiveType

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.schemas import Schemas
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import TableUnusable
from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, ORDERS, PACKAGED, known
from engagement_platform_tests.warehouse import DAY, NEXT, write

MOODY = replace(PACKAGED, enriched=f"SELECT event.*, 'fine'::text AS mood FROM ({PACKAGED.enriched}\n) AS event")
"""The packaged stream with one line more in its statement."""
MOODS = (
    "SELECT DATE(event_ts) AS day, COUNT(*) AS events, COUNT(mood) AS moods FROM engagement_events "
    "WHERE event_ts >= TIMESTAMP '2000-01-01' GROUP BY day ORDER BY day"
)


def note(settings: Settings, schema: Schema) -> None:
    with Schemas.opened(settings, "test") as schemas:
        schemas.note(schema)


def test_a_table_has_every_column_that_messages_have_had(settings: Settings) -> None:
    ensure_schema(settings)
    assert table_now(settings) == ENGAGEMENT_EVENTS
    with Schemas.opened(settings, "test") as schemas:
        first = schema_now(origin_of(settings))
        assert schemas.note(first) == 1
        schemas.note(replace(first, columns=(*first.columns, Column("mood", parsed("text")))))
        assert [column.name for column in table_now(settings, schemas.session).columns] == [*first.names, "mood"]
        kept = tuple(column for column in first.columns if column.name != "device")
        schemas.note(replace(first, columns=kept))
        assert [column.name for column in table_now(settings).columns] == [*first.names, "mood"]


def test_before_the_first_message_the_source_says_the_columns(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as owner:
        owner.execute("CREATE SCHEMA shop")
        owner.execute(
            "CREATE TABLE shop.orders (order_no bigserial PRIMARY KEY, placed_at timestamptz NOT NULL, "
            "customer_id bigint, country text, channel text, cents bigint)"
        )
        owner.execute("GRANT USAGE ON SCHEMA shop TO engagement_reader")
        owner.execute("GRANT SELECT ON shop.orders TO engagement_reader")
    with known(ORDERS):
        orders = settings.replace(stream="orders")
        table = table_now(orders)
        assert (table.name, table.day) == ("orders", "placed_at")
        assert [column.name for column in table.columns] == [
            *("order_no", "placed_at", "customer_id", "country", "channel", "cents")
        ]
        ensure_schema(orders)
        assert table_now(orders) == table
        assert schema_now(origin_of(orders)).id == "order_no"


def test_a_line_in_the_statement_gives_rebuilt_days_a_column_and_the_stage_goes_on(
    settings: Settings, source_db: SourceDatabase
) -> None:
    """The relay has not begun with the new form yet: the days before are rebuilt by it already."""
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        write(writer, 3)
        drain(relay.run, settings)
        drain(stage.run, settings)
        with known(MOODY):
            assert rebuild_days(settings, [DAY], "run")[0].rows == 3
        write(writer, 2, NEXT)
        drain(relay.run, settings)
        drain(stage.run, settings)
    assert open_warehouse(settings).query(MOODS).to_pylist() == [
        {"day": DAY, "events": 3, "moods": 3},
        {"day": NEXT, "events": 2, "moods": 0},
    ]
    assert rebuild_days(settings, [DAY], "again")[0].rows == 3, "and by the form of before"
    assert open_warehouse(settings).query(MOODS).to_pylist()[0]["moods"] == 0


def test_a_running_stage_takes_a_form_that_is_noted_meanwhile(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        write(writer, 1)
        drain(relay.run, settings)
        drain(stage.run, settings)
        with known(MOODY):
            note(settings, schema_now(origin_of(settings)))
        write(writer, 1)
        drain(relay.run, settings)
        drain(stage.run, settings)
    assert open_warehouse(settings).query(MOODS).to_pylist() == [{"day": DAY, "events": 2, "moods": 0}]


def test_a_column_of_another_type_stops_the_stage_and_a_table_moved_away_lets_it_go_on(
    settings: Settings, source_db: SourceDatabase
) -> None:
    """It stops before it writes; nothing that Kafka has is lost by it."""
    folder = Path(settings.effective_warehouse_uri) / "engagement_events"
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        write(writer, 2)
        drain(relay.run, settings)
        drain(stage.run, settings)
        DeltaTable(str(folder)).alter.add_columns(Field("mood", PrimitiveType("long")))
        with known(MOODY):
            note(settings, schema_now(origin_of(settings)))
        write(writer, 1)
        drain(relay.run, settings)
        with pytest.raises(TableUnusable, match="column mood is int64, not string") as stopped:
            drain(stage.run, settings)
        assert "move its folder away" in stopped.value.todo
        folder.rename(folder.with_name("moved_away"))
        drain(stage.run, settings)
    assert open_warehouse(settings).query(MOODS).to_pylist() == [{"day": DAY, "events": 3, "moods": 0}]
