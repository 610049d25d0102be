"""The names of the Redis keys. All share one hash tag, so that they lie in one slot of a cluster.

`docs/redis-keys.md` describes them to those who read them.
"""

from dataclasses import dataclass

from engagement_platform.domain.event_stream import Views


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
    def wal(self) -> str:
        """Hash: partition -> where its latest message stands in the log of a publisher that may publish twice."""
        return f"{self.prefix}wal"

    @property
    def builder(self) -> str:
        """Text: which of several shards builds new views at present."""
        return f"{self.prefix}builder"

    def displays(self, views: Views) -> dict[str, str]:
        """Return, for each dimension with columns to show, the hash member -> JSON of them.

        The first has `display`, which is the one of `engagement`; any other the dimension's name behind it.
        """
        shown = [dimension.name for dimension in views.dimensions if dimension.shown]
        return {name: f"{self.prefix}display{f':{name}' if name != shown[0] else ''}" for name in shown}

    @property
    def buckets(self) -> str:
        """Sorted set: the starts of the buckets that hold something."""
        return f"{self.prefix}buckets"

    @property
    def bucket_prefix(self) -> str:
        """What the names of the buckets' hashes begin with; scripts complete them."""
        return f"{self.prefix}bucket:"

    def view(self, dimension: str, measure: str) -> str:
        """Sorted set: member -> what the measure adds up to in the window."""
        return f"{self.prefix}view:{dimension}:{measure}"
