"""The measuring process: reads notes, topic and Redis' offsets beside the stream, and tells what it sees.

A process of its own, so that it neither disturbs the stream nor is disturbed by the screen. Started with the notes of
the generator as standard input; it ends soon after them.
"""

import os
import sys
import threading
import time
from collections.abc import Iterable

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.redis.views import Views
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.records import IdReader
from engagement_platform.local.demo.visibility import Sighting, Visibility, encode, sighting
from engagement_platform.local.generator import notes
from engagement_platform.settings import Settings, load

POLL_SECONDS = 0.004
"""Pause between two looks at the offsets in Redis: by so much, at most, a latency is told too long."""

LAST_EVENTS_SECONDS = 30
_RETRY_SECONDS = 0.05


class Measurement:
    """Three readers that feed one Visibility."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen = Visibility()
        self._id_of = IdReader(stream_of(settings).source.id).id_of
        self._lock = threading.Lock()
        self._positions: dict[int, int] = {}
        self.ended = threading.Event()

    def read_notes(self, lines: Iterable[bytes]) -> None:
        """Read until the generator ends. A line that was cut off by its end is left out."""
        for line in lines:
            if line.endswith(b"\n"):
                committed_ns, ids = notes.decode(line)
                with self._lock:
                    self._seen.note(committed_ns, ids)
        self.ended.set()

    def watch_redis(self) -> None:
        """Look at the offsets every few milliseconds, for ever."""
        views = Views.connect(self._settings)
        while True:
            try:
                offsets = views.offsets()
                at_ns = time.time_ns()
            except Unavailable:
                time.sleep(_RETRY_SECONDS)
                continue
            with self._lock:
                for partition, offset in offsets.items():
                    self._seen.offset(partition, offset, at_ns)
            time.sleep(POLL_SECONDS)

    def open_topic(self) -> TopicReader:
        """Return a reader that goes on where the last one stopped, at first from the present end."""
        # When a message is read does not matter, only where it is: large fetches are cheap.
        reader = TopicReader(self._settings.kafka, self._settings.topics.events, min_bytes=64 << 10, max_wait_ms=200)
        self._positions = {**reader.end_offsets(), **self._positions}
        reader.seek(self._positions)
        return reader

    def read_topic(self, reader: TopicReader) -> None:
        """Take what has come, within a fraction of a second."""
        for partition, records in reader.poll(100).items():
            self._positions[partition] = records[-1].offset + 1
            with self._lock:
                for record in records:
                    self._seen.message(partition, record.offset, self._id_of(record.value or b"") or 0)
        for partition in reader.partitions - self._positions.keys():
            self._positions[partition] = 0
            reader.seek(self._positions)

    def tell(self, *, final: bool = False) -> Sighting:
        """Return what has been seen."""
        with self._lock:
            return sighting(self._seen, time.time_ns(), final=final)


def main() -> None:
    """Measure until the notes end and every noted event has been found, or its time is over."""
    sys.setswitchinterval(0.0005)
    measurement = Measurement(load())
    reader = measurement.open_topic()
    for target in (measurement.watch_redis, lambda: measurement.read_notes(sys.stdin.buffer)):
        threading.Thread(target=target, daemon=True).start()
    _tell(measurement.tell())
    told_at, deadline = time.monotonic(), None
    while True:
        try:
            measurement.read_topic(reader)
        except Unavailable:
            time.sleep(_RETRY_SECONDS)
            reader = _again(measurement, reader)
        if time.monotonic() - told_at >= 1:
            told_at = time.monotonic()
            _tell(measurement.tell())
        if measurement.ended.is_set():
            deadline = deadline or time.monotonic() + LAST_EVENTS_SECONDS
            if not measurement.tell().waiting or time.monotonic() > deadline:
                break
    _tell(measurement.tell(final=True))


def _again(measurement: Measurement, reader: TopicReader) -> TopicReader:
    """Return a new reader when Kafka answers; else the old one, to be tried again."""
    try:
        fresh = measurement.open_topic()
    except Unavailable:
        return reader
    reader.close()
    return fresh


def _tell(what: Sighting) -> None:
    os.write(sys.stdout.fileno(), encode(what) + b"\n")


if __name__ == "__main__":
    main()
