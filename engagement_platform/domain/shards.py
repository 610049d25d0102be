"""Which partitions of a topic a lease run reads, when several share them: a pure function of partition and number.

A shard is one of `of` lease runs that run side by side, each with a lease of its own. Shard 0 has the relay. How many
there are is an *assignment*; each has a generation, a number that grows: see `domain.leases`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several lease runs of a stream."""

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise ValueError(f"there is no shard {self.index} of {self.of}")

    @property
    def is_whole(self) -> bool:
        """Whether it is the only one, so that it reads all partitions."""
        return self.of == 1

    def owns(self, partition: int) -> bool:
        """Say whether the shard reads a partition. Each partition has one owner, whatever partitions there are."""
        return partition % self.of == self.index

    def owned(self, partitions: Collection[int]) -> frozenset[int]:
        """Return those of the partitions that the shard reads."""
        return frozenset(partitions) if self.is_whole else frozenset(filter(self.owns, partitions))

    def part_of(self, by_partition: Mapping[int, Value]) -> dict[int, Value]:
        """Return what a mapping has for the shard's partitions."""
        return {partition: value for partition, value in by_partition.items() if self.owns(partition)}

    def named(self, name: str) -> str:
        """Return a name of the stream as the shard's own: the first shard's is the name itself."""
        return f"{name}-{self.index}" if self.index else name

    def __str__(self) -> str:
        return f"shard {self.index} of {self.of}"


MOST_SHARDS = 64
"""Among how many runs partitions may be divided."""

WHOLE = Shard()
"""The only shard of a stream that is not divided."""


def shards_of(number: int) -> tuple[Shard, ...]:
    """Return the shards among which the partitions are divided."""
    return tuple(Shard(index, number) for index in range(number))
