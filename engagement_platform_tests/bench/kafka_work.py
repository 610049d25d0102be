"""What a client of Kafka costs, in a process that has loaded nothing else: `python -m … CLIENT BROKERS OWN`.

It makes topics that begin with OWN, and prints what it measured as JSON: seconds, CPU seconds for a million messages,
bytes of memory.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pydantic import SecretStr

from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.producer import FencedProducer, Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.settings import Settings

LARGE, LARGE_TIMES = 2_000, 100
SMALL, SMALL_TIMES = 20, 1_000
EACH_SECONDS = 0.01
WARM_TIMES = 10
HEADERS = [("schema-version", b"1"), ("unseen-at", b"1790000000000000")]
PAGE = 4_096


def main() -> None:
    """Measure, and print."""
    client, brokers, own = sys.argv[1:]
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    topics = {name: f"{own}-{name}" for name in ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic")}
    settings = Settings.of(
        source_dsn=dsn, platform_dsn=dsn, kafka_bootstrap_servers=brokers, kafka_client=client, **topics
    )
    sys.stdout.write(json.dumps(dict(measure(settings))))


def measure(settings: Settings) -> Iterator[tuple[str, float]]:
    """Yield each figure by its name."""
    bare, began, used = memory(), time.perf_counter(), time.process_time()
    client_of(settings.kafka)
    yield "loaded_s", time.perf_counter() - began
    ensure_topics(settings)
    began = time.perf_counter()
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        yield "producer_s", time.perf_counter() - began
        began = time.perf_counter()
        with closing(TopicReader(settings.kafka, settings.topics.events)) as reader:
            yield "reader_s", time.perf_counter() - began
            yield "start_cpu_s", time.process_time() - used
            yield "idle_bytes", memory() - bare
            yield from writing(producer, settings.topics.events)
            yield from reading(reader)
        yield "bytes", memory() - bare


def memory() -> int:
    """Return how many bytes of memory the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def writing(producer: FencedProducer, topic: str) -> Iterator[tuple[str, float]]:
    """Commit large transactions one after another, then small ones at a steady pace."""
    value = json.dumps({"id": 1, "text": "x" * 570}).encode()

    def batch(events: int) -> list[Message]:
        return [Message(topic, b"content-%d" % (n % 500), value, HEADERS) for n in range(events)]

    large, small = batch(LARGE), batch(SMALL)
    for _ in range(WARM_TIMES):
        producer.commit(large)
    with measured(LARGE * LARGE_TIMES) as figures:
        for _ in range(LARGE_TIMES):
            producer.commit(large)
    yield "large_cpu", figures["cpu"]
    yield "large_per_s", figures["per_s"]
    took: list[float] = []
    with measured(SMALL * SMALL_TIMES) as figures:
        at = time.perf_counter()
        for _ in range(SMALL_TIMES):
            began = time.perf_counter()
            producer.commit(small)
            took.append(time.perf_counter() - began)
            at = max(at + EACH_SECONDS, time.perf_counter() - EACH_SECONDS)
            time.sleep(max(0.0, at - time.perf_counter()))
    yield "small_cpu", figures["cpu"]
    yield "small_p50_ms", 1000 * sorted(took)[len(took) // 2]
    yield "small_p99_ms", 1000 * sorted(took)[len(took) * 99 // 100]


def reading(reader: TopicReader) -> Iterator[tuple[str, float]]:
    """Read all of it, and look at each value as a loop does."""
    messages = LARGE * (LARGE_TIMES + WARM_TIMES) + SMALL * SMALL_TIMES
    read = size = 0
    reader.seek(reader.beginning_offsets())
    with measured(messages) as figures:
        while read < messages:
            for records in reader.poll(500).values():
                read += len(records)
                size += sum(len(record.value or b"") for record in records)
    yield "read_cpu", figures["cpu"]
    yield "read_per_s", figures["per_s"]


@contextmanager
def measured(messages: int, clock: Callable[[], float] = time.process_time) -> Iterator[dict[str, float]]:
    """Measure the block: CPU seconds of the process and its threads for a million messages; messages a second."""
    figures: dict[str, float] = {}
    began, used = time.perf_counter(), clock()
    yield figures
    figures["cpu"] = (clock() - used) / messages * 1e6
    figures["per_s"] = messages / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
