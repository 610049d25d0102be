"""How every client of librdkafka connects: in the background, so that whoever opens one waits for a first answer."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from engagement_platform.adapters import keepalive
from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.errors import error_of, refusal, said, unavailable
from engagement_platform.adapters.kafka.refusals import no_answer
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Kafka

Handle = TypeVar("Handle")
"""A Consumer, a Producer or an AdminClient."""
Answer = TypeVar("Answer")

_LISTEN_SECONDS = 0.1
"""How often what the client reports of its connections is looked at while an answer is waited for."""


class Reports:
    """What a client reports of its connections; it goes on trying whatever happens to them."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.last: KafkaError | None = None
        self.refused: Refused | None = None

    def note(self, error: KafkaError) -> None:
        """Note one report. The first that is a cause stays: that all brokers are away follows from it."""
        if self.last is None or self.last.name() in _FOLLOWING:
            self.last = error
        self.refused = refusal(self._kafka, error) or self.refused

    def forget(self) -> None:
        """Begin anew: what was reported before is over."""
        self.last = self.refused = None

    def explain(self, error: KafkaError) -> Unavailable:
        """Return what to tell of a request that failed: why there is no connection, where that was reported."""
        if self.refused is not None:
            return self.refused
        told = unavailable(self._kafka, error)
        if isinstance(told, Refused) or self.last is None:
            return told
        return no_answer(self._kafka, f"{said(self.last)}; {said(error)}")


_FOLLOWING = frozenset({"_ALL_BROKERS_DOWN", "_TIMED_OUT"})


def options(kafka: Kafka) -> dict[str, Any]:
    """Return the configuration that producers, consumers and admin clients share."""
    password = kafka.sasl_password
    chosen = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": "engagement-platform",
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": password.get_secret_value() if password else None,
        "ssl.ca.location": str(kafka.ssl_cafile) if kafka.ssl_cafile else None,
        "allow.auto.create.topics": False,  # they would have the broker's settings, not ours
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
        "retry.backoff.ms": 20,
        "socket.timeout.ms": connection.MAX_BLOCK_MS,
        "socket.keepalive.enable": True,
        # When the kernel asks cannot be set: what was silent for longer is closed, and opened by the next request.
        "connections.max.idle.ms": 2 * keepalive.IDLE_SECONDS * 1000,
        "enable.metrics.push": False,
        # The loops say once that Kafka went and once that it came back; the client would say it for every socket.
        "log_level": 0,
        "log.connection.close": False,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def make(kind: Callable[[dict[str, Any]], Handle], kafka: Kafka, reports: Reports, chosen: Mapping[str, Any]) -> Handle:
    """Return a client of a kind; `chosen` is what it takes beside `options`. Raises Unavailable."""
    try:
        return kind({**options(kafka), **chosen, "error_cb": reports.note})
    except KafkaException as error:
        raise reports.explain(error_of(error)) from error


class Requests:
    """An admin client whose answers are waited for."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._reports = Reports(kafka)
        self.client = make(AdminClient, kafka, self._reports, {})

    def connect(self) -> None:
        """Wait for the first answer. Raises Unavailable."""
        seconds = connection.BOOTSTRAP_MS / 1000
        self.answer(self.client.describe_cluster(request_timeout=seconds), seconds)

    def answer(self, future: "Future[Answer]", seconds: float | None = None) -> Answer:
        """Wait for an answer. Raises Unavailable, and KafkaException for an answer that is an error."""
        deadline = time.monotonic() + (connection.MAX_BLOCK_MS / 1000 if seconds is None else seconds)
        self._reports.forget()
        while True:
            try:
                return future.result(_LISTEN_SECONDS)
            except NotYet:
                self.client.poll(0)
                if self._reports.refused is not None or time.monotonic() > deadline + _LISTEN_SECONDS:
                    raise self._reports.explain(_SILENCE) from None
            except KafkaException as error:
                self.client.poll(0)
                if is_answer(error_of(error)):
                    raise
                raise self._reports.explain(error_of(error)) from error

    def demand(self, future: "Future[Answer]") -> Answer:
        """Wait for an answer that is no error. Raises Unavailable."""
        try:
            return self.answer(future)
        except KafkaException as error:
            raise unavailable(self._kafka, error_of(error)) from error

    def close(self) -> None:
        """Close the connections."""
        del self.client  # the library closes what nobody refers to


def is_answer(error: KafkaError) -> bool:
    """Say whether a broker has answered; other errors are the library's own: it waited in vain, or could not ask."""
    return error.code() > 0


_SILENCE = KafkaError(KafkaError.REQUEST_TIMED_OUT, "no answer in time")
