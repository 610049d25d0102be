"""A day as it is compared: the ids, the measures, and one number for all else that the source's own table has.

Of each event two integers are held, and one for each measure, however wide its row is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engagement_platform.domain.columns import Base, Column
from engagement_platform.domain.reconciliation import Comparison

Array = np.ndarray[Any, Any]

_ODD = 0x9E3779B97F4A7C15
"""A product with an odd number tells any two numbers of 64 bits apart."""
_NULL, _NAN = 0x6A09E667F3BCC909, 0xBB67AE8584CAA73B


@dataclass(frozen=True, slots=True)
class Figures:
    """What a day is compared by. Arrays of one length, in the order of the ids."""

    ids: Array
    """int64, ascending."""
    measures: "tuple[Measured, ...]"
    marks: Array
    """uint64; of two rows with different values they are different, but for one pair in 2^64."""
    unjoined: tuple[Array, ...] = ()
    """bool for each thing that is joined: its row was missing. Of the warehouse only."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of one measure."""

    values: Array
    """int64, 0 where it is null."""
    is_null: Array

    def differs(self, other: "Measured") -> Array:
        """Say for each row whether it differs."""
        unequal: Array = (self.values != other.values) | (self.is_null != other.is_null)
        return unequal

    def at(self, rows: Array) -> "Measured":
        """Return the values of certain rows, given as numbers or as a mask."""
        return Measured(self.values[rows], self.is_null[rows])

    def sum(self) -> int:
        """Return the exact sum, which may be beyond int64."""
        return (int((self.values >> 32).sum()) << 32) + int((self.values & 0xFFFFFFFF).sum())


def figures_of(batches: Iterable[pa.RecordBatch], comparison: Comparison, *, is_table: bool = False) -> Figures:
    """Return the figures of a day from the columns that `adapters.source.compared` names, batch by batch.

    `is_table`: those of the warehouse, which say what was not joined, too.
    """
    parts = [_of_batch(batch, comparison, is_table) for batch in batches]
    return _joined(parts or [_of_batch(_nothing(comparison), comparison, is_table)])


def doubled_ids(figures: Figures) -> Array:
    """Return the ids that are there more than once, ascending."""
    doubled: Array = np.unique(figures.ids[1:][figures.ids[1:] == figures.ids[:-1]])
    return doubled


def _of_batch(batch: pa.RecordBatch, comparison: Comparison, is_table: bool) -> Figures:
    marks = _digests(batch.column("digest"))
    for number, column in enumerate(comparison.plain):
        marks = _mixed(marks, *_words(batch.column(f"p{number}"), column))
    return Figures(
        batch.column("id").to_numpy(zero_copy_only=False),
        tuple(_measured(batch.column(f"m{number}")) for number in range(len(comparison.measures))),
        marks,
        tuple(batch.column(f"j{n}").to_numpy(zero_copy_only=False) for n in range(len(comparison.joined) * is_table)),
    )


def _joined(parts: Sequence[Figures]) -> Figures:
    def measure(number: int) -> Measured:
        measured = [part.measures[number] for part in parts]
        return Measured(
            np.concatenate([one.values for one in measured]), np.concatenate([one.is_null for one in measured])
        )

    return Figures(
        np.concatenate([part.ids for part in parts]),
        tuple(measure(number) for number in range(len(parts[0].measures))),
        np.concatenate([part.marks for part in parts]),
        tuple(np.concatenate([part.unjoined[number] for part in parts]) for number in range(len(parts[0].unjoined))),
    )


def _nothing(comparison: Comparison) -> pa.RecordBatch:
    """Return a batch without rows, of a day without any."""
    names = {"id": pa.int64(), "digest": pa.string()}
    names |= {f"m{number}": pa.int64() for number in range(len(comparison.measures))}
    names |= {f"p{number}": pa.string() for number in range(len(comparison.plain))}
    names |= {f"j{number}": pa.bool_() for number in range(len(comparison.joined))}
    return pa.RecordBatch.from_pylist([], schema=pa.schema(list(names.items())))


def _measured(column: pa.Array) -> Measured:
    values = pc.fill_null(column.cast(pa.int64()), 0)
    return Measured(values.to_numpy(zero_copy_only=False), column.is_null().to_numpy(zero_copy_only=False))


def _digests(column: pa.Array) -> Array:
    """Return a number for each digest, which are all of 16 characters, or all empty."""
    words = np.frombuffer("".join(column.cast(pa.string()).to_pylist()).encode(), np.uint64)
    if not len(words):
        return np.zeros(len(column), np.uint64)
    return _mixed(words[0::2].copy(), words[1::2], np.zeros(len(column), np.bool_))


def _words(column: pa.Array, of: Column) -> tuple[Array, Array]:
    """Return the bits of numbers, and which are null. Zeros of both signs are one, and so is every NaN."""
    is_null = column.is_null().to_numpy(zero_copy_only=False)
    if of.type.base is Base.FLOAT:
        floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
        return np.where(np.isnan(floats), np.uint64(_NAN), floats.view(np.uint64)), is_null
    decimals = pc.fill_null(column.cast(pa.decimal128(of.type.precision, of.type.scale)), 0)
    words = np.frombuffer(decimals.buffers()[1], np.uint64)[2 * decimals.offset : 2 * (decimals.offset + len(column))]
    return _mixed(words[0::2].copy(), words[1::2], np.zeros(len(column), np.bool_)), is_null


def _mixed(marks: Array, words: Array, is_null: Array) -> Array:
    """Return marks that tell apart what the marks, or the words, tell apart."""
    mixed: Array = (marks * np.uint64(_ODD)) ^ np.where(is_null, np.uint64(_NULL), words)
    mixed *= np.uint64(_ODD)
    mixed ^= mixed >> np.uint64(29)
    return mixed
