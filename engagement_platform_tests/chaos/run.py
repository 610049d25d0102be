"""One run: the schedule is carried out on the system, then everything is compared."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Protocol

import redis

from engagement_platform.settings import Settings
from engagement_platform_tests.chaos import readers, verdict
from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.partner import PartnerProcess, is_poison
from engagement_platform_tests.chaos.schedule import Moment
from engagement_platform_tests.chaos.standstill import Marker, Occurrence
from engagement_platform_tests.chaos.system import System
from engagement_platform_tests.chaos.verdict import Verdict, ViewsVerdict
from engagement_platform_tests.chaos.watch import Watch
from engagement_platform_tests.chaos.writers import Writers
from engagement_platform_tests.streaming import wait_for

log = logging.getLogger("chaos")
FLOW_SECONDS = 180.0
"""After which a system that does not flow has stopped for good."""
SETTLE_SECONDS = 240.0


class Compared(Protocol):
    """What is compared at the end: the whole system, or some loops of it."""

    watch: Watch
    settings: Settings
    partner: PartnerProcess
    writers: Writers | None
    growths: int
    gone: set[int]
    lost_ids: set[int]
    redriven: set[int]

    def addresses(self) -> dict[str, str]:
        """Return where the servers are, directly."""


@dataclass
class Outcome:
    """What a run brought."""

    occurrences: list[Occurrence] = field(default_factory=list)
    views: list[ViewsVerdict] = field(default_factory=list)
    """After each occurrence, and at the end."""
    broken: list[str] = field(default_factory=list)
    """Faults that could not be carried out, or after which nothing flowed."""
    unreached: list[str] = field(default_factory=list)
    """Faults for which there was no time."""
    markers: list[Marker] = field(default_factory=list)
    """Those of its time: before, the system had yet to begin."""
    seen: dict[str, dict[int, float]] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    """Of each sink but Redis, at the end."""
    committed: int = 0
    """Rows of the source at the end."""
    loads: list[float] = field(default_factory=list)
    """The machine's load after each occurrence: how many wanted a processor in the minute before."""


def carry_out(
    system: System, moments: Sequence[Moment], faults: Sequence[Fault], tell: Callable[[str], None], at_most: float
) -> Outcome:
    """Inflict the faults in their order, each some time after the one before has healed; compare at the end.

    After `at_most` seconds no other one begins.
    """
    by_name = {fault.name: fault for fault in faults}
    outcome, began = Outcome(), time.time()
    for moment in moments:
        if time.time() - began > at_most:
            outcome.unreached.append(moment.name)
            continue
        time.sleep(moment.pause)
        one = _inflict(system, by_name[moment.name], moment, outcome)
        outcome.occurrences.append(one)
        outcome.views.append(_views_after(system, one, outcome))
        assert system.writers is not None
        system.writers.keep()
        outcome.loads.append(os.getloadavg()[0])
        tell(_in_words(one, outcome.views[-1]))
    outcome.markers = [marker for marker in system.watch.markers if marker.committed >= began]
    outcome.seen = system.watch.seen
    settle(system)
    outcome.verdicts = final(system)
    outcome.views.append(views_verdict(system))
    outcome.committed = len(readers.committed(system.addresses()["writer"]))
    return outcome


def _inflict(system: System, fault: Fault, moment: Moment, outcome: Outcome) -> Occurrence:
    began, system.healed_at = time.time(), None
    with _noted(fault, outcome, system, began):
        fault.inflict(system, Random(moment.seed))
    done = time.time()
    with _noted(fault, outcome, system, began):
        wait_for(lambda: _flows(system, done), f"events after: {fault.name}", FLOW_SECONDS)
    healed = system.healed_at or began
    return Occurrence(fault.name, began, healed, healed if fault.since == "healed" else began, time.time())


@contextmanager
def _noted(fault: Fault, outcome: Outcome, system: System, began: float) -> Iterator[None]:
    """Note what fails within, and go on: half of a fault may have broken something all the same."""
    try:
        yield
    except Exception as error:
        outcome.broken.append(f"{fault.name}: {error} (stands: {', '.join(system.watch.stands(began)) or 'none'})")
        log.exception("%s", fault.name)


def _flows(system: System, since: float) -> bool:
    """Say whether every sink has what was committed since a time; Dagster is supervised meanwhile."""
    system.keep_dagster()
    return system.watch.flowed_since(since)


def _views_after(system: System, one: Occurrence, outcome: Outcome) -> ViewsVerdict:
    try:
        return views_verdict(system)
    except Exception as error:
        outcome.broken.append(f"{one.name}: the views could not be compared: {error}")
        return ViewsVerdict(0, 0, 0)


def _in_words(one: Occurrence, views: ViewsVerdict) -> str:
    wrong = f", REDIS WRONG: {views}" if views.broken else ""
    at = datetime.fromtimestamp(one.began, UTC)
    return f"{at:%H:%M:%S} {one.name}: flows again {one.flowed - one.began:.1f} s after its beginning{wrong}"


def views_verdict(system: Compared, patience: float = 60.0) -> ViewsVerdict:
    """Hold the views as they are now, events coming in, against the topic up to their offsets."""
    where = system.watch.where
    with closing(redis.Redis.from_url(where.redis_url, decode_responses=True)) as client:
        views = wait_for(lambda: readers.views(client, where.namespace), "views", patience)
    wait_for(lambda: read_up_to(system, views.offsets), "the topic up to the views' offsets", patience)
    return verdict.compared(views, verdict.recounted(list(system.watch.topic), views))


def read_up_to(system: Compared, offsets: dict[int, int]) -> bool:
    """Say whether all that the views have counted has been read; a partition may end with marks of transactions."""
    last = dict.fromkeys(offsets, -1)
    for message in system.watch.topic:
        last[message.partition] = message.offset
    if all(last[partition] + 1 >= offset for partition, offset in offsets.items()):
        return True
    return time.time() - max(system.watch.seen["kafka"].values(), default=0.0) > 2.0


def settle(system: Compared) -> None:
    """End the writers, let the partner behave, and wait until every sink has every event."""
    assert system.writers is not None
    system.writers.close()
    system.watch.writes.clear()
    time.sleep(0.5)
    system.partner.misbehave(0.0)
    ids = set(readers.committed(system.addresses()["writer"]))
    for what, condition in has_all(system, ids).items():
        try:
            wait_for(condition, f"{what} to have every event", SETTLE_SECONDS)
        except AssertionError:
            log.exception("not settled")  # the verdict says what is lost
    time.sleep(2.0)


def has_all(system: Compared, ids: set[int]) -> Mapping[str, Callable[[], bool]]:
    """Return sink -> whether it has all of these events; Redis, which keeps no ids, is not among them."""
    poison, watch = {number for number in ids if is_poison(number)}, system.watch
    return {
        "the topic": lambda: ids <= watch.seen["kafka"].keys(),
        "the partner": lambda: ids - poison <= watch.seen["partner"].keys(),
        "the warehouse": lambda: ids <= set(readers.rows_of_table(watch.where.table)),
    }


def final(system: Compared) -> dict[str, Verdict]:
    """Compare all ids of all sinks with the source, each read anew by the checker's own means."""
    where, own, names = system.watch.where, system.addresses(), system.settings.topics
    ids = readers.committed(own["writer"])
    topic = readers.messages(readers.whole(where.kafka_client, where.kafka, names.events))
    dead = readers.whole(where.kafka_client, where.kafka, names.dead_letters)
    last_lost, there = max(system.lost_ids, default=0), {message.event_id for message in topic}
    every_id = sorted({*ids, *system.gone})
    expected = [number for number in every_id if number > last_lost or number in there]
    topic = [*system.watch.expired, *topic]
    every = [*system.watch.past, *topic]
    rows = readers.rows_of_table(where.table)
    kept = system.gone.intersection(rows)  # a rebuild makes a day of what the source has
    taken = [number for request in readers.taken(where.partner) for number, _, _ in request["events"]]
    return {
        "kafka": verdict.published(topic, expected, system.watch.sequences.values(), system.growths),
        "warehouse": verdict.exactly_once({*ids, *kept}, rows, readers.letters(dead, "relay", "stage")),
        "partner": verdict.delivered(
            every, every_id, taken, readers.letters(dead, "relay", "forward"), system.redriven
        ),
    }
