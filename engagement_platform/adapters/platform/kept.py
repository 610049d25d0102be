"""What the platform's database keeps of a stream beside its loops: checkpoint, open gaps, loads, days that are due."""

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes, missing_ranges
from engagement_platform.domain.ids import split_after
from engagement_platform.domain.metric_values import Kept
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "kept.sql")


def kept(settings: Settings, session: Session) -> Kept:
    """Return what is kept of a stream: two small queries. Raises Unavailable, and StreamStopped for a later version."""
    topic = settings.topics.events
    (row,) = session.all(_SQL["kept"], topic=topic)
    of_loads = Kept(open_loads=row["open_loads"], last_load_at=row["last_load_at"], due_days=row["due_days"])
    if row["checkpoint"] is None:
        return of_loads
    checkpoint = from_bytes(row["checkpoint"])
    gaps = split_after(missing_ranges(checkpoint), checkpoint.highest_numbered)[0]
    return Kept(
        checkpoint_at=row["checkpoint_at"],
        checkpoint_id=checkpoint.hi,
        open_gaps=len(gaps),
        oldest_gap_at=_passed_at(session, topic, checkpoint, gaps[0].first, row["checkpoint_at"]) if gaps else None,
        open_loads=of_loads.open_loads,
        last_load_at=of_loads.last_load_at,
        due_days=of_loads.due_days,
    )


def _passed_at(session: Session, topic: str, checkpoint: Checkpoint, gap: int, latest: float) -> float:
    """Return when the relay passed an id that is missing, to the minute."""
    (row,) = session.all(_SQL["passed_at"], topic=topic, generation=checkpoint.generation, id=gap)
    return latest if row["passed_at"] is None else min(row["passed_at"], latest)
