"""What is written first: a poll for what is above the highest id seen, into Kafka, at least once.

It is quick and cheap, and never publishes a row whose transaction commits behind one with a higher id.
"""

import signal
import sys
import time

import psycopg
from kafka import KafkaProducer

from engagement_platform.adapters import sql
from engagement_platform.adapters.kafka.kafka_python.connection import options
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.settings import Settings, load

ROWS = 2_000
PAUSE_SECONDS = 0.01
PACKAGE = "engagement_platform_tests.bench.peers"


class Poller:
    """Publishes what is above a cursor."""

    def __init__(self, settings: Settings, cursor: int = 0) -> None:
        self.cursor = cursor
        self._topic = settings.topics.events
        self._connection = psycopg.connect(settings.source.dsn.get_secret_value(), autocommit=True)
        self._statement = origin_of(settings).statement(sql.load(PACKAGE, "poller.sql")["above"])
        self._producer = KafkaProducer(**options(settings.kafka), linger_ms=0, batch_size=262_144, acks="all")

    def poll(self) -> int:
        """Publish at most ROWS events; return how many."""
        parameters = {"cursor": self.cursor, "rows": ROWS}
        rows = self._connection.execute(self._statement, parameters, binary=True).fetchall()
        for _, key, value in rows:
            self._producer.send(self._topic, value, key)
        self._producer.flush()
        if rows:
            self.cursor = rows[-1][0]
        return len(rows)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        self._producer.close()


def main() -> None:
    """Poll until terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    poller = Poller(load())
    while True:
        began = time.monotonic()
        if poller.poll() < ROWS:
            time.sleep(max(began + PAUSE_SECONDS - time.monotonic(), 0))
