"""What the three readers cost: each drains the same topic with either client of Kafka, in a process of its own."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
from pydantic import SecretStr

from engagement_platform.local.receiver import Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control, Standalone
from engagement_platform.stream.registry import loop_named
from engagement_platform_tests.bench.bench_tally import remove
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import Place, apart, fill, own_place

EVENTS = 200_000
CLIENTS = ("kafka-python", "librdkafka")
READERS = ("tally", "stage", "forward")
_LATELY = "UPDATE engagement_events SET event_ts = now() - random() * interval '5 minutes'"


def run(endpoints: Endpoints) -> list[Figure]:
    """Publish a source, let each reader drain the topic, and return what a million events would have cost it."""
    figures: list[Figure] = []
    with own_place(endpoints, start="earliest") as place, Receiver() as partner:
        _publish(place)
        for client in CLIENTS:
            for loop in READERS:
                settings = _own(place.settings, loop, client, partner.url)
                events, seconds, cpu = apart(_drain, settings, loop)
                assert events == EVENTS, f"{loop} handled {events} of {EVENTS} events"
                figures += [
                    Figure(f"{loop}, {client}", cpu * 1e6 / events, "CPU s per million events"),
                    Figure(f"{loop}, {client}, at full speed", events / seconds, "events/s"),
                ]
            remove(place.settings)
    return figures


def _publish(place: Place) -> None:
    fill(place.source, EVENTS, datetime.now(UTC).date())
    with psycopg.connect(place.source.admin_dsn, autocommit=True) as connection:
        connection.execute(_LATELY)
    apart(_drain, place.settings.replace(kafka_client="librdkafka"), "relay")


def _own(settings: Settings, loop: str, client: str, url: str) -> Settings:
    """Return the settings under which a reader has read nothing yet."""
    return settings.replace(
        kafka_client=client,
        warehouse_uri=str(settings.state_dir / client),
        forward_group=f"{settings.topics.forward_group}-{client}",
        **({"api_url": SecretStr(url)} if loop == "forward" else {}),
    )


def _drain(settings: Settings, loop: str) -> tuple[int, float, float]:
    """Drain what is in the topic; return the events, the wall time, and the time of the process."""
    control = Standalone(drain=True)
    work: Callable[[Settings, Control], None] = loop_named(loop).imported().run
    began, used = time.perf_counter(), time.process_time()
    _profiled(work, settings, control, loop)
    return control.progress.events, time.perf_counter() - began, time.process_time() - used


def _profiled(work: Callable[[Settings, Control], None], settings: Settings, control: Control, loop: str) -> None:
    """Do it; where BENCH_PROFILE names a folder, leave there what Python's profiler saw."""
    if not (folder := os.environ.get("BENCH_PROFILE")):
        work(settings, control)
        return
    import cProfile

    profile = cProfile.Profile()
    profile.runcall(work, settings, control)
    profile.dump_stats(f"{folder}/{loop}-{settings.kafka.client}.prof")
