"""Ranges of event ids: how missing ids are kept small in memory and in the checkpoint.

A sequence of ranges is ascending and disjoint wherever it is passed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, groupby, pairwise
from operator import itemgetter
from typing import NamedTuple


class IdRange(NamedTuple):
    """The ids from `first` to `last`, both included."""

    first: int
    last: int


def gaps_between(low: int, ids: Sequence[int]) -> tuple[IdRange, ...]:
    """Return what is missing above `low` up to the last of the ascending `ids`, all of them above `low`."""
    return tuple(IdRange(a + 1, b - 1) for a, b in pairwise(chain((low,), ids)) if b - a > 1)


def without(ranges: Sequence[IdRange], ids: Iterable[int]) -> tuple[IdRange, ...]:
    """Return the ranges with the ascending `ids` taken out; an id outside of every range changes nothing."""
    kept: list[IdRange] = []
    done = 0
    for index, inside in groupby(ids, key=lambda one: bisect_right(ranges, one, key=itemgetter(0)) - 1):
        if index >= 0:
            first, last = ranges[index]
            kept.extend(ranges[done:index])
            kept.extend(gaps_between(first - 1, [*(one for one in inside if one <= last), last + 1]))
            done = index + 1
    kept.extend(ranges[done:])
    return tuple(kept)


def split_after(ranges: Sequence[IdRange], last: int) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]]:
    """Return the parts of the ranges up to `last`, and those above it."""
    return (
        tuple(IdRange(r.first, min(r.last, last)) for r in ranges if r.first <= last),
        tuple(IdRange(max(r.first, last + 1), r.last) for r in ranges if r.last > last),
    )


def merged(ranges: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """Return ranges in any order, that may overlap, as few ranges: ascending and disjoint, neighbours as one."""
    joined: list[IdRange] = []
    for one in sorted(ranges):
        if joined and one.first <= joined[-1].last + 1:
            joined[-1] = IdRange(joined[-1].first, max(joined[-1].last, one.last))
        else:
            joined.append(one)
    return tuple(joined)


def count(ranges: Iterable[IdRange]) -> int:
    """Return how many ids the ranges hold."""
    return sum(r.last - r.first + 1 for r in ranges)


def encode(ranges: Sequence[IdRange]) -> list[int]:
    """Return the ranges as small numbers: for each, the distance from the end of the one before, and its length - 1.

    The first distance is from 0, and negative where an id is.
    """
    ends = chain((0,), (r.last for r in ranges))
    return [number for end, r in zip(ends, ranges, strict=False) for number in (r.first - end, r.last - r.first)]


def decode(numbers: Sequence[int]) -> tuple[IdRange, ...]:
    """Return the ranges that `encode` was given. Raises ValueError when the numbers cannot be such ranges."""
    if len(numbers) % 2 or any(n < 0 for n in numbers[1:]):
        raise ValueError("id ranges are pairs of numbers, and none but the first is negative")
    ranges: list[IdRange] = []
    end = 0
    for distance, length in zip(numbers[::2], numbers[1::2], strict=True):
        ranges.append(IdRange(end + distance, end + distance + length))
        end = ranges[-1].last
    return tuple(ranges)
