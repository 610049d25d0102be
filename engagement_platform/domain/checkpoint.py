"""The relay's checkpoint: the record that is written to Kafka in the transaction of the events it covers."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from engagement_platform.domain import marks as marking
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ids import IdRange, count, decode, encode, split_after
from engagement_platform.domain.ledger import Ledger
from engagement_platform.domain.marks import Columns, Marks
from engagement_platform.domain.schema_history import NOTHING_KEPT, KeptSchemas, Numbered, keep, kept

RESET = "engagement-platform checkpoint reset --at latest"
RESET_ALL = "engagement-platform checkpoint reset --at earliest"
ADOPT = "engagement-platform checkpoint adopt"


class SourceIdentity(msgspec.Struct, frozen=True):
    """Which sequence of which server the ids come from. 0 stands for what an older version did not note."""

    system_identifier: str
    timeline: int
    database: str
    table: int = 0
    table_storage: int = 0
    """Another one after TRUNCATE, but also after VACUUM FULL and other harmless statements."""
    sequence: int = 0
    sequence_storage: int = 0
    """Another one after a RESTART, but also after any ALTER SEQUENCE."""
    started: int = 0
    """When the server started, in microseconds since 1970: a copy can be put back only while it is down."""


class MessageSchema(NamedTuple):
    """Which schema messages have, and which they may have had."""

    number: int = 0
    hash: str = ""
    highest: int = 0
    """The highest number that messages have had."""
    history: KeptSchemas = NOTHING_KEPT
    """Every schema that has a number, as far as a version that keeps them here has seen them."""


_UNNOTED = MessageSchema()


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
    numbered: int | None = None
    """The highest published id that came from the sequence; None where nobody could tell. `hi` may be a foreign one."""
    marks: str = ""
    """What the last published rows were, as `domain.marks.encode` writes it."""
    marked_by: Columns = ((), ())
    """The columns of which the marks are made; none where an older version did not note it: those of the stream now."""
    schema: int = 0
    """The number of the schema that messages have from here on; 0 where an older version did not note it."""
    schema_hash: str = ""
    """The schema's hash: so a relay knows its number while the platform database is away."""
    schemas: int = 0
    """The highest number that messages have had."""
    schema_history: KeptSchemas = NOTHING_KEPT
    """The schemas of all numbers: so the platform database gets back what it has lost of them."""
    version: int = 1

    @property
    def position(self) -> tuple[int, int]:
        """What tells the later of two checkpoints."""
        return (self.generation, self.hi)

    @property
    def highest_numbered(self) -> int:
        """The highest published id of the sequence, as far as anybody could tell."""
        return self.hi if self.numbered is None else self.numbered


_decoder = msgspec.json.Decoder(Checkpoint)


def of(
    ledger: Ledger,
    source: SourceIdentity,
    unseen_at: int,
    generation: int = 0,
    *,
    numbered: int | None = None,
    marks: str = "",
    marked_by: Columns = ((), ()),
    schema: MessageSchema = _UNNOTED,
) -> Checkpoint:
    """Return the checkpoint of a ledger."""
    return Checkpoint(
        source=source,
        hi=ledger.hi,
        missing=encode(ledger.missing),
        unseen_at=unseen_at,
        generation=generation,
        numbered=numbered,
        marks=marks,
        marked_by=marked_by,
        schema=schema.number,
        schema_hash=schema.hash,
        schemas=schema.highest,
        schema_history=schema.history,
    )


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as the value of its message."""
    return msgspec.json.encode(checkpoint)


def from_bytes(value: bytes) -> Checkpoint:
    """Read a checkpoint. Raises StreamStopped when it is not one, or of a later version."""
    try:
        checkpoint = _decoder.decode(value)
        decode(checkpoint.missing)
        marking.decode(checkpoint.marks)
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


def open_ids(checkpoint: Checkpoint) -> int:
    """Return how many ids were given and are missing; those that the sequence has yet to give do not count."""
    return count(split_after(decode(checkpoint.missing), checkpoint.highest_numbered)[0])


def messages_of(checkpoint: Checkpoint) -> MessageSchema:
    """Return which schema messages have by a checkpoint."""
    return MessageSchema(checkpoint.schema, checkpoint.schema_hash, checkpoint.schemas, checkpoint.schema_history)


def schemas_of(messages: MessageSchema) -> Numbered:
    """Return the schemas that messages may have had, by number. Raises StreamStopped for one of a later version."""
    try:
        return kept(messages.history)
    except ValueError as error:
        raise StreamStopped(
            f"The relay's checkpoint has a schema that this version does not know: {error}.",
            "A later version wrote it. Start this process with that version, or a later one.",
        ) from error


def joined_messages(checkpoints: Sequence[Checkpoint]) -> MessageSchema:
    """Return which schema messages have by the first of some checkpoints, with every number that one of them knows."""
    told = [messages_of(one) for one in checkpoints]
    if not told:
        return MessageSchema()
    numbered = {number: schema for one in reversed(told) for number, schema in schemas_of(one).items()}
    return told[0]._replace(highest=max(one.highest for one in told), history=keep(numbered))


def marks_of(checkpoint: Checkpoint) -> Marks:
    """Return the marks of a checkpoint."""
    return marking.decode(checkpoint.marks)


def require_same_source(checkpoint: Checkpoint, now: SourceIdentity, highest_given: int, table: str) -> None:
    """Raise StreamStopped when ids of the source may mean other events than when the checkpoint was written.

    `table` is its name, for people.

    After a failover, ids that were given out before it can be given out again, for other events.
    """
    require_same_identity(checkpoint.source, now, table)
    require_not_set_back(checkpoint.highest_numbered, highest_given)


def require_same_identity(was: SourceIdentity, now: SourceIdentity, table: str) -> None:
    """Raise StreamStopped when server, database, table or sequence are others than before."""
    server = (was.system_identifier, was.timeline, was.database)
    if server != (now.system_identifier, now.timeline, now.database):
        raise StreamStopped(
            f"The source is not the one of the checkpoint: it was database {was.database} of system "
            f"{was.system_identifier} on timeline {was.timeline}, it is database {now.database} of system "
            f"{now.system_identifier} on timeline {now.timeline}. Ids above the failover may stand for other events.",
            f"If it has every row that was published, go on at the same id with: {ADOPT}. "
            f"Else go on from here with: {RESET}; then rebuild the days around the failover.",
        )
    if was.table not in {0, now.table}:
        raise StreamStopped(
            f"{table} is another table than before: its oid was {was.table}, it is {now.table}.",
            f"If it is a copy of that one, with the same ids, go on at the same id with: {ADOPT}. If all its rows are "
            f"new: {RESET_ALL} publishes them. Then rebuild the days in question.",
        )
    if was.sequence not in {0, now.sequence}:
        raise StreamStopped(
            f"The ids of {table} come from another sequence than before: its oid was {was.sequence}, it is "
            f"{now.sequence}.",
            f"If the rows are those of before, go on at the same id with: {ADOPT}.",
        )


def require_not_set_back(numbered: int, highest_given: int) -> None:
    """Raise StreamStopped when the sequence stands below an id that it had given, which was published."""
    if highest_given < numbered:
        raise StreamStopped(
            f"The source has given out ids up to {highest_given}, but {numbered} was seen already: "
            "its table was emptied or restored, its sequence was set back, or its newest rows were deleted and the "
            "role may not see the sequence.",
            "If rows were deleted, let the owner run the GRANT on the sequence that engagement-platform doctor names, "
            f"and the stream goes on. If only the sequence was set back: {ADOPT}. If the table "
            f"was emptied, all its rows are new: {RESET_ALL} publishes them. If a copy of before was put back: "
            "engagement-platform checkpoint reset --at ID, with the last id of that copy. "
            "Then rebuild the days in question.",
        )


def require_not_behind(checkpoint: Checkpoint | None, copy: Checkpoint | None) -> None:
    """Raise StreamStopped when Kafka's checkpoint is gone or older than the mirror in the platform database."""
    if copy is None or (checkpoint is not None and checkpoint.position >= copy.position):
        return
    state = "is empty" if checkpoint is None else f"stands at id {checkpoint.hi}"
    raise StreamStopped(
        f"The checkpoint topic {state}, but the relay had come to id {copy.hi}: Kafka has lost data.",
        "Take up the mirrored checkpoint with: engagement-platform checkpoint restore. "
        f"Or start anew with: {RESET}. Then rebuild the days in question.",
    )
