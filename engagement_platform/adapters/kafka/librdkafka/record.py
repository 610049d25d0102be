"""A message of librdkafka as a record: what nobody asks for is not copied."""

from collections.abc import Sequence

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message


class LibrdkafkaRecord:
    """What `record.Record` says."""

    __slots__ = ("_message", "partition")

    def __init__(self, message: Message, partition: int) -> None:
        self._message = message
        self.partition = partition

    @property
    def topic(self) -> str:
        """The topic that it was read from."""
        return self._message.topic() or ""

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        return self._message.offset()  # type: ignore[return-value]

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""
        return self._message.timestamp()[1]

    @property
    def timestamp_type(self) -> int:
        """What the timestamp is: 1 for the time of arrival, 0 for the producer's."""
        return int(self._message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME)

    @property
    def key(self) -> bytes | None:
        """Its key."""
        return self._message.key()

    @property
    def value(self) -> bytes | None:
        """What it says; None for a tombstone."""
        return self._message.value()

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers, in order."""
        return self._message.headers() or ()  # type: ignore[return-value]
