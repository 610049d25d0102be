"""The one way in which every relay is measured: the same table, the same load, the same reader, each alone.

A contender is started by a context manager that yields once everything committed from then on will be published; it
says where, and by which process. What it is makes no difference here.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests import daemons
from engagement_platform_tests.bench import bench_relay
from engagement_platform_tests.bench.peers import results
from engagement_platform_tests.bench.peers.programs import generating
from engagement_platform_tests.bench.peers.reader import Sightings, id_of, reading
from engagement_platform_tests.bench.peers.results import (
    GENERATOR,
    KAFKA,
    POSTGRES,
    READER,
    RELAY,
    CaughtUp,
    Ends,
    Note,
    Streamed,
    Window,
)
from engagement_platform_tests.bench.peers.usage import Usage, own_seconds, tree_seconds
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.streaming import read_all, wait_for

FIRST_EVENT_SECONDS = 90.0
LAST_EVENTS_SECONDS = 30.0
CATCH_UP_SECONDS = 180.0
QUIET_SECONDS = 1.0
"""So long nothing may come until a relay counts as done."""
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Bench:
    """The servers, and a folder for what the programs write."""

    endpoints: Endpoints
    servers: Path
    folder: Path

    def server_pid(self, name: str) -> int:
        """Return the process of a server."""
        process = daemons.server(self.servers, name).daemon.process()
        assert process is not None, f"{name} does not run"
        return process.pid


@dataclass(frozen=True)
class Running:
    """A relay at work."""

    topic: str
    """Where it publishes."""
    pid: int
    require: Callable[[], bool] = lambda: True
    """Returns True. Raises EngagementError when its process has ended."""


Start = Callable[[Bench, Place], AbstractContextManager[Running]]


@dataclass(frozen=True)
class Contender:
    """A relay to be measured."""

    name: str
    start: Start
    prepare: Callable[[Place], None] = lambda _place: None
    """Done before there are rows that wait: a slot has to be there, or it would not have them."""


@dataclass(frozen=True)
class Load:
    """How hard, and for how long."""

    rate: float = 1_000
    warm_up_seconds: float = 30.0
    measured_seconds: float = 45.0


def stream(bench: Bench, contender: Contender, load: Load) -> Streamed:
    """Measure a steady load, once the relay and the servers are warm. Raises results.NothingSeen."""
    return observed(bench, contender, load)[0]


def observed(
    bench: Bench, contender: Contender, load: Load
) -> tuple[Streamed, Sequence[Note], Mapping[int, int], Window]:
    """Do the same, and return what it was made of: the commits, when each id was seen first, and the time measured."""
    workload = Workload(load.rate, writers=4, seed=7)
    with (
        own_place(bench.endpoints, start="earliest") as place,
        contender.start(bench, place) as running,
        reading(place.settings, running.topic) as sightings,
        generating(place.source.writer_dsn, workload, bench.folder) as generator,
    ):
        parts = _parts(bench, running) | {GENERATOR: generator.pid}
        _await_first(contender, running, sightings)
        time.sleep(load.warm_up_seconds)
        before = usage(parts)
        time.sleep(load.measured_seconds)
        after = usage(parts)
        notes = generator.stop()
        _settle(sightings.count, sum(len(note.ids) for note in notes))
    window = Window(int(before.at * 1e9), int(after.at * 1e9))
    result = results.streamed(contender.name, notes, sightings.seen, window, before.until(after))
    return result, notes, results.first_seen(sightings.seen), window


def catch_up(bench: Bench, contender: Contender, events: int) -> CaughtUp:
    """Measure how rows are published that waited when the relay started."""
    with own_place(bench.endpoints, start="earliest") as place:
        contender.prepare(place)
        _fill(place, events)
        before, began = usage(_servers(bench)), time.time()
        with contender.start(bench, place) as running:
            samples = _sample(place.settings, running, events)
            after = usage(_parts(bench, running))
        ids = [id_of(record.value) for record in read_all(place.settings, running.topic)]
    rate, rate_with_start = results.rates(samples, events, began)
    return CaughtUp(
        name=contender.name,
        events=events,
        rate=rate,
        rate_with_start=rate_with_start,
        missed=events - len(set(ids)),
        doubled=results.doubled(ids),
        cpu=before.until(after),
    )


def usage(parts: dict[str, int]) -> Usage:
    """Return what each part has taken so far, and this process, whose children are other parts."""
    return Usage(time.time(), {name: tree_seconds(pid) for name, pid in parts.items()} | {READER: own_seconds()})


def _servers(bench: Bench) -> dict[str, int]:
    return {KAFKA: bench.server_pid("kafka"), POSTGRES: bench.server_pid("postgres")}


def _parts(bench: Bench, running: Running) -> dict[str, int]:
    return {RELAY: running.pid} | _servers(bench)


def _await_first(contender: Contender, running: Running, sightings: Sightings) -> None:
    what = f"the first event of {contender.name}"
    wait_for(lambda: running.require() and sightings.count(), what, FIRST_EVENT_SECONDS)


def _settle(count: Callable[[], int], events: int) -> None:
    """Wait until everything was read, or nothing comes any more: a relay may miss events."""
    deadline, last, changed = time.monotonic() + LAST_EVENTS_SECONDS, count(), time.monotonic()
    while last < events and time.monotonic() < deadline:
        time.sleep(0.1)
        if count() != last:
            last, changed = count(), time.monotonic()
        if time.monotonic() - changed > LAST_EVENTS_SECONDS / 2:
            return


def _fill(place: Place, events: int) -> None:
    with psycopg.connect(place.source.admin_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as writer:
        writer.execute(bench_relay.FILL, {"contents": bench_relay.CONTENTS, "events": events})
        writer.execute("VACUUM (ANALYZE) engagement_events")
        writer.execute("CHECKPOINT")


def _sample(settings: Settings, running: Running, events: int) -> Sequence[Ends]:
    """Look at the ends of what is committed until all of it is."""
    with _ends(settings, running.topic) as ends:
        samples = [Ends(time.time(), ends())]

        def is_done() -> bool:
            time.sleep(SAMPLE_SECONDS)
            samples.append(Ends(time.time(), ends()))
            return results.caught_up(samples, events, QUIET_SECONDS)

        deadline = time.monotonic() + CATCH_UP_SECONDS
        while running.require() and not is_done():
            assert time.monotonic() < deadline, f"{samples[-1].committed:,} of {events:,} after {CATCH_UP_SECONDS} s"
    return samples


@contextmanager
def _ends(settings: Settings, topic: str) -> Iterator[Callable[[], int]]:
    reader = TopicReader(settings.kafka, topic)
    try:
        yield lambda: sum(reader.end_offsets().values())
    finally:
        reader.close()
