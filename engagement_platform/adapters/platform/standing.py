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
