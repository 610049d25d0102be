"""The names of the Redis keys. All share one hash tag, so that they lie in one slot of a cluster.

`docs/redis-keys.md` describes them to those who read them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one generation of the views."""

    prefix: str

    @classmethod
    def live(cls, namespace: str) -> "Keys":
        """Return the keys that readers use; their names never change."""
        return cls(f"{{{namespace}}}:")

    @classmethod
    def build(cls, namespace: str, generation: str) -> "Keys":
        """Return the keys of a generation that is being built."""
        return cls(f"{{{namespace}}}:build:{generation}:")

    @property
    def meta(self) -> str:
        """Hash: as_of, window_start and what the generation is."""
        return f"{self.prefix}meta"

    @property
    def offsets(self) -> str:
        """Hash: partition -> offset of the next message to count."""
        return f"{self.prefix}offsets"

    @property
    def display(self) -> str:
        """Hash: content_id -> JSON of what to show for it."""
        return f"{self.prefix}display"

    @property
    def buckets(self) -> str:
        """Sorted set: the starts of the buckets that hold something."""
        return f"{self.prefix}buckets"

    @property
    def bucket_prefix(self) -> str:
        """What the names of the buckets' hashes begin with; scripts complete them."""
        return f"{self.prefix}bucket:"

    def view(self, dimension: str, measure: str) -> str:
        """Sorted set: member -> count or milliseconds in the window."""
        return f"{self.prefix}view:{dimension}:{measure}"
