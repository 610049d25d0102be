"""Connects to everything that the stage needs."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import loop_named
from engagement_platform.stream.stage.batch import WRITER
from engagement_platform.stream.topic_watch import watching

log = logging.getLogger("engagement_platform.stage")

POLL_MS = 500
_MAX_RECORDS = 5_000
"""Of one poll."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The connections of one attempt."""

    reader: TopicReader
    loads: Loads
    warehouse: Warehouse
    table: Table
    table_id: str


@contextmanager
def connected(settings: Settings, shard: Shard = WHOLE) -> Iterator[Clients]:
    """Connect to everything, before the claim."""
    ensure_schema(settings)
    warehouse = open_warehouse(settings)
    table = table_now(settings)
    table_id = warehouse.ensure(table)
    records = min(_MAX_RECORDS, settings.stage.batch_rows)
    with ExitStack() as stack:
        loads = stack.enter_context(closing(Loads(Session(settings, WRITER))))
        reader = TopicReader(
            settings.kafka,
            settings.topics.events,
            shard=shard,
            min_bytes=1 << 18,
            max_wait_ms=POLL_MS,
            max_records=records,
            without_duplicates=True,
        )
        stack.enter_context(closing(reader))
        stack.enter_context(watching(settings, loop_named("stage"), log))
        yield Clients(reader, loads, warehouse, table, table_id)
