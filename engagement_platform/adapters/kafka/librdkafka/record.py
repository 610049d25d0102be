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
        return self._message.topic() or ""

    @property
    def offset(self) -> int:
        return self._message.offset()  # type: ignore[return-value]

    @property
    def timestamp(self) -> int:
        return self._message.timestamp()[1]

    @property
    def timestamp_type(self) -> int:
        return int(self._message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME)

    @property
    def key(self) -> bytes | None:
        return self._message.key()

    @property
    def value(self) -> bytes | None:
        return self._message.value()

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        return self._message.headers() or ()  # type: ignore[return-value]
