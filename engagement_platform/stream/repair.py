"""What an operator does when the relay has stopped: take up the copied checkpoint, or set a new one.

Both shut out a relay that runs; it then reads the checkpoint written here and goes on from it.
"""

import time
from contextlib import closing
from dataclasses import dataclass

from engagement_platform.adapters.kafka.checkpoints import key, open_checkpoints
from engagement_platform.adapters.kafka.producer import Fenced, Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform import mirror
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain.checkpoint import Checkpoint
from engagement_platform.domain.errors import EngagementError, StreamStopped
from engagement_platform.domain.ledger import begin
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import now

_SMALL_MESSAGES = 1 << 20


@dataclass(frozen=True, slots=True)
class Standing:
    """The relay's checkpoint in Kafka and its copy in the platform database."""

    topic: Checkpoint | None
    copy: Checkpoint | None


def show(settings: Settings) -> Standing:
    """Return where the relay stands. Raises Unavailable, and StreamStopped when either cannot be read."""
    ensure_topics(settings)
    with open_checkpoints(settings) as topic:
        return Standing(topic.last(), mirror.read(settings))


def restore(settings: Settings) -> Checkpoint:
    """Write the copied checkpoint to the topic, and return it.

    Events that the relay published after the copy was made, at most a second of them, are published again.
    """
    copy = mirror.read(settings)
    if copy is None:
        raise EngagementError(
            "The platform database has no copy of the checkpoint.", f"Start anew with: {checkpoints.RESET}"
        )
    _write(settings, copy)
    return copy


def reset(settings: Settings, at: str) -> Checkpoint:
    """Begin anew at `latest`, `earliest` or an id, on the source as it is now; return the new checkpoint.

    Above `earliest` the ids that are still open are kept, as at a first start. What lies between the old and the new
    place is published twice or not at all: rebuild those days. What rebuilds have seen above the source's highest id is
    taken back, since a restored source gives those ids to other events.
    """
    with open_source(settings.source_dsn.get_secret_value()) as source:
        highest = source.highest_given()
        hi = _place(at, source.highest_id())
        missing = source.missing_below(hi, settings.start_lookback_ids)
        ledger = begin(hi, missing, source.holders())
        checkpoint = checkpoints.of(ledger, source.identity, now(), _next_generation(settings))
    _write(settings, checkpoint)
    ensure_schema(settings)
    mirror.replace(settings, checkpoint)
    with closing(Loads(settings, "reset")) as loads:
        loads.uncover(highest)
    return checkpoint


def _next_generation(settings: Settings) -> int:
    """Return one above all that was, so that a relay that still runs cannot put the copy back."""
    try:
        standing = show(settings)
    except StreamStopped:
        # Nobody can tell what the unreadable one was. The time in seconds is above all that have counted resets from
        # 0, and above every earlier one that came from here.
        return int(time.time())
    return 1 + max((known.generation for known in (standing.topic, standing.copy) if known is not None), default=-1)


def _place(at: str, highest: int) -> int:
    if at in {"latest", "earliest"}:
        return highest if at == "latest" else 0
    if not at.isdecimal():
        raise EngagementError(f"The place {at!r} is none.", "Name latest, earliest or an id.")
    return int(at)


def _write(settings: Settings, checkpoint: Checkpoint) -> None:
    """Write the checkpoint in place of what was. Raises EngagementError when a relay begins at the same moment."""
    ensure_topics(settings)
    record = Message(settings.checkpoint_topic, key(settings), checkpoints.to_bytes(checkpoint))
    try:
        with open_producer(settings, _SMALL_MESSAGES) as producer:
            producer.fence()
            producer.commit([record])
    except Fenced as error:
        raise EngagementError(
            "A relay took over at the same moment, so the checkpoint was not written.", "Run the command again."
        ) from error
