"""Marks of published rows: what tells whether the source still has them, or others under their ids.

An id alone does not: a source that is put back to an earlier copy gives the ids of what it lost to other rows. A mark
has two digests of a row. *Who*: the time, the user and the key. *What*: all of the event's own columns, which an update
may change. The last `DENSE` published rows have a mark, and older ones ever more sparsely.
"""

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple
from zlib import crc32

import msgspec

from engagement_platform.domain.event_stream import EventStream

DENSE = 16
_NULL = msgspec.Raw(b"null")
_PACKED = Struct("<qII")


class Mark(NamedTuple):
    """One published row."""

    id: int
    who: int
    what: int


Marks = tuple[Mark, ...]
"""Ascending by id."""


Columns = tuple[tuple[str, ...], tuple[str, ...]]
"""The columns of which marks are made: those for *who*, and the event's own ones besides; all where there are none."""


def marked_columns(stream: EventStream) -> Columns:
    """Return the columns of which the marks of a stream are made."""
    source = stream.source
    who = tuple(dict.fromkeys(name for name in (source.time, stream.user, stream.key) if name is not None))
    listed = [column.name for column in stream.tables.get(source.name, ())]
    # Those of a joined table may change without the event. Where none is listed, all that the message has.
    return who, tuple(name for name in listed if name not in {source.id, *who})


class Marker:
    """Makes the marks of rows from their messages."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        who, own = columns
        self._who, self._own = len(who), len(own)
        fields = [(f"column_{number}", msgspec.Raw, _NULL) for number in range(len(who) + len(own))]
        names = {f"column_{number}": name for number, name in enumerate((*who, *own))}
        self._decode = msgspec.json.Decoder(msgspec.defstruct("Own", fields, rename=names)).decode

    def mark(self, event_id: int, message: bytes) -> Mark:
        """Return the mark of a row from its message; of one that is cut off, from what there is of it."""
        try:
            values = msgspec.structs.astuple(self._decode(message))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            digest = crc32(message)
            return Mark(event_id, digest, digest)
        who = crc32(b"|".join(values[: self._who]))
        return Mark(event_id, who, crc32(b"|".join(values[self._who :]) if self._own else message, who))


def worth_marking(rows: int) -> list[int]:
    """Return which of so many rows to mark, as positions: the last ones, and those at each power of two before."""
    before = (rows - (1 << power) for power in range(DENSE.bit_length(), rows.bit_length()))
    return sorted({*(at for at in before if at >= 0), *range(max(0, rows - DENSE), rows)})


def noted(marks: Marks, new: Iterable[Mark]) -> Marks:
    """Return the marks with new ones, as few as are needed: the last, and two for each power of two of their age."""
    ascending = sorted({one.id: one for one in (*marks, *new)}.values())
    older, dense = ascending[:-DENSE], ascending[-DENSE:]
    oldest: dict[int, Mark] = {}
    newest: dict[int, Mark] = {}
    for one in older:
        age = (dense[-1].id - one.id).bit_length()
        oldest.setdefault(age, one)
        newest[age] = one
    return (*sorted({*oldest.values(), *newest.values()}), *dense)


def encode(marks: Marks) -> str:
    """Return the marks as text for the checkpoint."""
    return b64encode(b"".join(_PACKED.pack(*one) for one in marks)).decode()


def decode(text: str) -> Marks:
    """Return the marks that `encode` was given. Raises ValueError when the text is none of those."""
    packed = b64decode(text, validate=True)
    if len(packed) % _PACKED.size:
        raise ValueError("marks of rows are cut off")
    return tuple(Mark(*parts) for parts in _PACKED.iter_unpack(packed))


@dataclass(frozen=True, slots=True)
class MarkedRows:
    """What has become of the marked rows, from the newest down to the first that is still there."""

    kept: int | None
    """The newest marked id whose row is still there; None where there is none."""
    others: tuple[int, ...] = ()
    """Newer ids that other rows have."""
    gone: tuple[int, ...] = ()
    """Newer ids that no row has."""
    is_complete: bool = True
    """Whether every published id above `kept` is among these."""

    @property
    def is_harmless(self) -> bool:
        """Say whether rows were at most deleted, and which ones is known."""
        return not self.others and (not self.gone or self.is_complete)


def compare(marks: Marks, now: Mapping[int, Mark], *, is_reformed: bool = False, by_id: bool = False) -> MarkedRows:
    """Compare marks with those of the rows that the source has now under the same ids.

    A row that was updated is still the same: it has another `what`, and the same `who`. That counts only where `who`
    tells rows apart, which it does not where all of them have the same time and no user. `is_reformed`: the messages
    have other columns than when they were marked, so that every `what` may be another one, and `who` has to do.
    `by_id`: they have not even those of `who`, so that a row that is there counts as the one that was published.
    """
    times = Counter(one.who for one in marks)
    others: list[int] = []
    gone: list[int] = []
    for passed, one in enumerate(reversed(marks)):
        row = now.get(one.id)
        if row is None:
            gone.append(one.id)
        elif by_id or row.what == one.what or (row.who == one.who and (is_reformed or times[one.who] == 1)):
            return _marked_rows(one.id, others, gone, is_complete=passed < DENSE)
        else:
            others.append(one.id)
    return _marked_rows(None, others, gone, is_complete=len(marks) < DENSE)


def _marked_rows(kept: int | None, others: Sequence[int], gone: Sequence[int], *, is_complete: bool) -> MarkedRows:
    return MarkedRows(kept, tuple(reversed(others)), tuple(reversed(gone)), is_complete)
