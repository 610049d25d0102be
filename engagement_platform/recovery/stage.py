"""What an operator does when the stage stands still: begin with a new topic, or give a load up."""

from contextlib import closing
from datetime import date

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Load, Warehouse
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings


def restart(settings: Settings) -> list[date]:
    """Let the stage go on with the topic that is there now, from its beginning; return the days to rebuild.

    Loads of the old topic that are open and not in the warehouse cannot be made again: their days are noted, and
    rebuilt by the sensor `rebuild_days_that_are_due`.
    """
    ensure_schema(settings)
    warehouse = open_warehouse(settings)
    table = table_now(settings)
    table_id = warehouse.ensure(table)
    with closing(TopicReader(settings.kafka, settings.topics.events)) as reader:
        topic_id, offsets = reader.topic_id, reader.beginning_offsets()
    with Loads.opened(settings, "restart") as loads:
        days = [day for load in loads.open_loads(table_id) for day in _close(warehouse, loads, load, table)]
        last = loads.last_load(table_id)
        if last is not None and last.topic_id != topic_id:
            _begin_anew(loads, last, topic_id, offsets)
    return sorted(set(days))


def _begin_anew(loads: Loads, last: LoadRow, topic_id: str, offsets: dict[int, int]) -> None:
    """Enter a load without rows, behind which the stage goes on at `offsets` of the new topic."""
    empty = LoadRow(
        table_id=last.table_id,
        writer=last.writer,
        version=last.version + 1,
        load_id=f"restart_{last.version + 1}",
        topic_id=topic_id,
        ranges={},
        next_offsets=offsets,
        days=(),
        rows=0,
    )
    with loads.admission(last.table_id, ()) as admission:
        if not admission.open(empty):
            raise EngagementError("A stage was at work at the same moment.", "Run the command again.")


def give_up(settings: Settings, load_id: str) -> list[date]:
    """Close an open load that can neither be found in the warehouse nor made again; return the days to rebuild."""
    ensure_schema(settings)
    warehouse = open_warehouse(settings)
    table = table_now(settings)
    table_id = warehouse.ensure(table)
    with Loads.opened(settings, "give-up") as loads:
        chosen = [load for load in loads.open_loads(table_id) if load.load_id == load_id]
        if not chosen:
            still = ", ".join(load.load_id for load in loads.open_loads(table_id)) or "none"
            raise EngagementError(f"No load {load_id} is open.", f"Open are: {still}.")
        return _close(warehouse, loads, chosen[0], table)


def _close(warehouse: Warehouse, loads: Loads, load: LoadRow, table: Table) -> list[date]:
    """Close a load; return its days when the warehouse does not have it."""
    loaded = warehouse.is_loaded(Load(load.load_id, load.writer, load.version, table, load.attempt))
    if not loaded:
        DueDays(loads.session).note(load.table_id, load.days, f"load {load.load_id} was given up")
    loads.close_load(load)
    return [] if loaded else list(load.days)
