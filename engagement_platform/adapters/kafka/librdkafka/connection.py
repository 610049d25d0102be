"""How every client of librdkafka connects: in the background, so that whoever opens one waits for a first answer."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from engagement_platform.adapters import keepalive, tls
from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.errors import error_of, refusal, said, unavailable
from engagement_platform.adapters.kafka.refusals import explained, no_answer
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Kafka

Handle = TypeVar("Handle")
"""A Consumer, a Producer or an AdminClient."""
Answer = TypeVar("Answer")

_ANY_TOPIC = "__consumer_offsets"
"""That every cluster has, or will have; no client makes it by asking for it."""
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
            return explained(self._kafka, self.refused)
        told = unavailable(self._kafka, error)
        if not isinstance(told, Refused) and self.last is not None:
            told = no_answer(self._kafka, f"{said(self.last)}; {said(error)}")
        return explained(self._kafka, told)


_FOLLOWING = frozenset({"_ALL_BROKERS_DOWN", "_TIMED_OUT"})


def options(kafka: Kafka) -> dict[str, Any]:
    """Return the configuration that producers, consumers and admin clients share.

    Raises SettingsError for a file of TLS that cannot be used.
    """
    password = kafka.sasl_password
    chosen = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": "engagement-platform",
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": password.get_secret_value() if password else None,
        **(_tls(kafka) if "SSL" in kafka.security_protocol else {}),
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


def _tls(kafka: Kafka) -> dict[str, Any]:
    tls.context(kafka)  # which says what is wrong with a file; the library says only that something is
    key = kafka.ssl_key_password
    return {
        "ssl.ca.location": kafka.ssl_cafile and str(kafka.ssl_cafile),
        "ssl.certificate.location": kafka.ssl_certfile and str(kafka.ssl_certfile),
        "ssl.key.location": kafka.ssl_certfile and str(kafka.ssl_keyfile or kafka.ssl_certfile),
        "ssl.key.password": key.get_secret_value() if key else None,
    }


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
        """Wait for the first answer. Raises Unavailable.

        What is said of the topic does not matter. To ask for the cluster would end the process: librdkafka aborts it
        when a broker knows no broker, not even itself, as one does that has just started or is out of breath.
        """
        seconds = connection.BOOTSTRAP_MS / 1000
        asked = self.client.describe_topics(TopicCollection([_ANY_TOPIC]), request_timeout=seconds)
        with suppress(KafkaException):
            self.answer(asked[_ANY_TOPIC], seconds)

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
