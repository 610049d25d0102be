"""The relay's checkpoint: the record that is written to Kafka in the transaction of the events it covers."""

from collections.abc import Sequence

import msgspec

from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ids import IdRange, decode, encode
from engagement_platform.domain.ledger import Ledger

RESET = "engagement-platform checkpoint reset --at latest"


class SourceIdentity(msgspec.Struct, frozen=True):
    """Which sequence of which server the ids come from."""

    system_identifier: str
    timeline: int
    database: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a relay needs to go on where another stopped."""

    source: SourceIdentity
    hi: int
    missing: list[int]
    """Id ranges as `domain.ids.encode` writes them; under 1 MB with 10,000 of them."""
    unseen_at: int
    """When the last poll that was not cut off began, in microseconds since 1970."""
    generation: int = 0
    """Raised when an operator sets a new place: a lower id then counts as the later one."""
    version: int = 1

    @property
    def place(self) -> tuple[int, int]:
        """What tells the later of two checkpoints."""
        return (self.generation, self.hi)


_decoder = msgspec.json.Decoder(Checkpoint)


def of(ledger: Ledger, source: SourceIdentity, unseen_at: int, generation: int = 0) -> Checkpoint:
    """Return the checkpoint of a ledger."""
    missing = encode(ledger.missing)
    return Checkpoint(source=source, hi=ledger.hi, missing=missing, unseen_at=unseen_at, generation=generation)


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as the value of its message."""
    return msgspec.json.encode(checkpoint)


def from_bytes(value: bytes) -> Checkpoint:
    """Read a checkpoint. Raises StreamStopped when it is not one, or of a later version."""
    try:
        checkpoint = _decoder.decode(value)
        decode(checkpoint.missing)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StreamStopped(
            f"The relay's checkpoint cannot be read: {error}.",
            f"Another program wrote to its topic, or a newer version did. To start anew: {RESET}",
        ) from error
    if checkpoint.version != 1:
        raise StreamStopped(
            f"The relay's checkpoint has version {checkpoint.version}; this program knows version 1.",
            "Run the newer program.",
        )
    return checkpoint


def missing_ranges(checkpoint: Checkpoint) -> Sequence[IdRange]:
    """Return the missing ids of a checkpoint."""
    return decode(checkpoint.missing)


def require_same_source(checkpoint: Checkpoint, now: SourceIdentity, highest_given: int) -> None:
    """Raise StreamStopped when ids of the source may mean other events than when the checkpoint was written.

    After a failover, ids that were given out before it can be given out again, for other events.
    """
    was = checkpoint.source
    if was != now:
        raise StreamStopped(
            f"The source is not the one of the checkpoint: it was database {was.database} of system "
            f"{was.system_identifier} on timeline {was.timeline}, it is database {now.database} of system "
            f"{now.system_identifier} on timeline {now.timeline}. Ids above the failover may stand for other events.",
            f"Go on from here with: {RESET}; then rebuild the days around the failover.",
        )
    if highest_given < checkpoint.hi:
        raise StreamStopped(
            f"The source has given out ids up to {highest_given}, but {checkpoint.hi} was seen already: "
            "its table was restored, its sequence was set back, or its newest rows were deleted and the role may not "
            "see the sequence.",
            "If rows were deleted, let the owner run GRANT SELECT ON SEQUENCE engagement_events_id_seq for the role of "
            f"ENGAGEMENT_SOURCE_DSN, and the stream goes on. Else: {RESET}; then rebuild the days in question.",
        )


def require_not_behind(checkpoint: Checkpoint | None, copy: Checkpoint | None) -> None:
    """Raise StreamStopped when Kafka's checkpoint is gone or older than the mirror in the platform database."""
    if copy is None or (checkpoint is not None and checkpoint.place >= copy.place):
        return
    found = "is empty" if checkpoint is None else f"stands at id {checkpoint.hi}"
    raise StreamStopped(
        f"The checkpoint topic {found}, but the relay had come to id {copy.hi}: Kafka has lost data.",
        "Take up the mirrored checkpoint with: engagement-platform checkpoint restore. "
        f"Or start anew with: {RESET}. Then rebuild the days in question.",
    )
