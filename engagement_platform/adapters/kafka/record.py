"""A message as it was read from Kafka, whichever client has read it."""

from collections.abc import Sequence
from typing import Protocol


class Record(Protocol):
    """A record of a topic."""

    @property
    def topic(self) -> str:
        """The topic that it was read from."""

    @property
    def partition(self) -> int:
        """The partition that it was read from."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970: when it arrived, by Kafka's clock, or what its producer said."""

    @property
    def timestamp_type(self) -> int:
        """What the timestamp is: 1 for the time of arrival, 0 for the producer's."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """What it says; None for a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers, in order."""
