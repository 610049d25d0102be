"""How the loops of a run stand, as their heartbeats tell it."""

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.domain.progress import Figures, from_object, total
from engagement_platform.domain.status import LoopStatus
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "loop_status.sql")


def loops_of(session: Session, run_id: str) -> dict[str, LoopStatus]:
    """Return the loops of a run by name. Raises Unavailable."""
    return {row.loop: row for row in session.objects(LoopStatus, _SQL["loops"], run_id=run_id)}


def totals(session: Session) -> dict[str, Figures]:
    """Return what each loop has done in all runs that are still noted: counters and latencies go on over hand-overs.

    Raises Unavailable.
    """
    runs: dict[str, list[Figures]] = {}
    for row in session.all(_SQL["all_runs"]):
        runs.setdefault(row["loop"], []).append(from_object(row["progress"]))
    return {loop: total(figures) for loop, figures in runs.items()}


def offsets_of_stage(settings: Settings, topic_id: str) -> dict[int, int]:
    """Return partition -> offset with which the stage's next batch begins; nothing before its first batch."""
    with Session(settings, "status") as session:
        row = session.one(_SQL["offsets_of_stage"], topic_id=topic_id)
    return {} if row is None else {int(partition): offset for partition, offset in row["next_offsets"].items()}
