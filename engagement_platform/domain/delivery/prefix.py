"""How far the offsets of one partition may be committed: behind everything that is delivered or a dead letter."""

from collections import deque


class Prefix:
    """The offsets of one partition that are not settled yet."""

    def __init__(self, begin: int) -> None:
        self._position = begin
        self._read: deque[tuple[int, int]] = deque()
        self._settled: set[int] = set()
        self.last_ms: int | None = None
        """When the last message that was read had arrived in Kafka, in milliseconds since 1970."""

    def add(self, offset: int, arrived_ms: int = 0) -> None:
        """Note a message that was read. Offsets ascend. Raises ValueError when one does not."""
        if offset < self._position:
            raise ValueError(f"offset {offset} was read after {self._position - 1}")
        self._read.append((offset, arrived_ms))
        self._position, self.last_ms = offset + 1, arrived_ms

    def settle(self, offset: int) -> None:
        """Note that a message is delivered, a dead letter, or none of ours."""
        self._settled.add(offset)
        while self._read and self._read[0][0] in self._settled:
            self._settled.remove(self._read.popleft()[0])

    def reach(self, position: int) -> None:
        """Note that everything before `position` was read: markers of transactions are offsets, too."""
        self._position = max(self._position, position)

    @property
    def committable(self) -> int:
        """The offset to go on from after a crash: all before it is settled."""
        return self._read[0][0] if self._read else self._position

    @property
    def oldest_ms(self) -> int | None:
        """When the first message that is not settled had arrived in Kafka; None when all that was read are settled."""
        return self._read[0][1] if self._read else None

    @property
    def span(self) -> int:
        """How many messages are remembered because one before them is not settled."""
        return len(self._read)
