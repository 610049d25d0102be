"""How the loops of a run stand, as their heartbeats tell it."""

from psycopg.rows import class_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import connect, translated
from engagement_platform.domain.standing import LoopStanding
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "standing.sql")


def loops_of(settings: Settings, run_id: str) -> dict[str, LoopStanding]:
    """Return the loops of a run by name. Raises Unavailable."""
    with (
        translated(),
        connect(settings, "status") as connection,
        connection.cursor(row_factory=class_row(LoopStanding)) as rows,
    ):
        return {each.loop: each for each in rows.execute(_SQL["loops"], {"run_id": run_id})}


def offsets_of_stage(settings: Settings, topic_id: str) -> dict[int, int]:
    """Return partition -> offset with which the stage's next batch begins; nothing before its first batch."""
    with translated(), connect(settings, "status") as connection:
        found = connection.execute(_SQL["offsets_of_stage"], {"topic_id": topic_id}).fetchone()
    return {} if found is None else {int(partition): offset for partition, offset in found[0].items()}
