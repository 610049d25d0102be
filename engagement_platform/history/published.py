"""What was published since a time, and since the stream began: by ids, never by the time of the events."""

from datetime import UTC, datetime, timedelta

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.platform import mirror, published
from engagement_platform.adapters.source.history import Either, Happened
from engagement_platform.domain.checkpoint import Checkpoint
from engagement_platform.domain.coverage import Coverage, Published, common, coverage_of
from engagement_platform.domain.errors import EngagementError
from engagement_platform.settings import Settings

_CLOCKS_APART = timedelta(minutes=1)
"""How far the clock by which somebody names a time, Kafka's perhaps, may be from the database's."""


def between(settings: Settings, since: datetime, until: datetime | None = None) -> Published | Either | Happened:
    """Return which events were published from `since` on, and before `until`: these, and up to some minutes' more.

    Where no checkpoint is kept from before `since`, it is those published since the first one that is, and those that
    happened since. Raises EngagementError when the source was replaced meanwhile, and Unavailable.
    """
    generations = published.generations(settings)
    happened = Happened(since, until or datetime.now(UTC))
    if not generations:
        return happened
    kept = published.before(settings, since - _CLOCKS_APART)
    ids = _published(settings, kept or generations[0][0], since, until)
    return ids if kept is not None else Either(happened, ids)


def _published(settings: Settings, then: Checkpoint, since: datetime, until: datetime | None) -> Published:
    generations = published.generations(settings)
    last = (published.after(settings, until + _CLOCKS_APART) if until is not None else None) or _present(settings)
    later = [checkpoint for checkpoint, recorded_at in generations if recorded_at > since - _CLOCKS_APART]
    if any(_server(checkpoint) != _server(last) for checkpoint in (then, *later)):
        raise EngagementError(
            f"The source was replaced since {since}, so the ids of then may stand for other events.",
            "Choose by the time of the events: --by event-time.",
        )
    base = coverage_of(then)
    for checkpoint in later:  # set by an operator: what it takes back was published again
        base = common(base, coverage_of(checkpoint))
    return Published(base, coverage_of(last))


def since_start(settings: Settings) -> Coverage | None:
    """Return what was covered when the relay began to publish this source; None when it has not begun."""
    generations = [checkpoint for checkpoint, _ in published.generations(settings)]
    ours = [checkpoint for checkpoint in generations if _server(checkpoint) == _server(generations[-1])]
    return coverage_of(ours[0]) if ours else None


def _present(settings: Settings) -> Checkpoint:
    with open_checkpoints(settings) as checkpoints:
        last = checkpoints.last() or mirror.read(settings)
    if last is None:
        raise EngagementError("The relay has not published anything.", "Start the stream first.")
    return last


def _server(checkpoint: Checkpoint) -> tuple[str, int, str]:
    source = checkpoint.source
    return source.system_identifier, source.timeline, source.database
