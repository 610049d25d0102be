"""The stream with a partner beside it: forward in a process of its own, the receiver in threads of this one."""

import logging
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
from pydantic import SecretStr

from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.local.demo.programs import Measuring
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.bench.live import streaming
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.partner import SECRETS, SIGNING_KEY
from engagement_platform_tests.soak.evidence import Evidence, evidence
from engagement_platform_tests.streaming import read_all, wait_for
from engagement_platform_tests.warehouse import source_ids

log = logging.getLogger("soak")

_FORWARD = """
import logging
from engagement_platform.settings import load
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.control import Standalone
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
forward.run(load(), Standalone())
"""
POISON_EVERY = 997
_MAX_IDS = 2_000_000
POISON = frozenset(f"engagement-event-{number}" for number in range(POISON_EVERY, _MAX_IDS, POISON_EVERY))
"""The keys of events that the partner never takes."""

FAULTS = ("slow", "throttle", "error", "close", "garbage", "hints", "twice")
MIX = Behaviour("mix", faults=FAULTS, share=0.3, seed=1, poison=POISON)
WELL = Behaviour(poison=POISON)
MOODS = (
    MIX,
    Behaviour("slow", seconds=0.5, poison=POISON),
    Behaviour("throttle", retry_after=1, poison=POISON),
    Behaviour("error", status=500, poison=POISON),
    Behaviour("error", status=503, poison=POISON),
    Behaviour("close", poison=POISON),
    Behaviour("garbage", poison=POISON),
    Behaviour("hints", poison=POISON),
    Behaviour("twice", poison=POISON),
    Behaviour("redirect", poison=POISON),
)
_SETTLE_SECONDS = 180.0


class Forward:
    """The loop in a process of its own, which may be killed at any time."""

    def __init__(self, environment_: dict[str, str], folder: Path) -> None:
        self._environment = environment_
        self._log = folder / "forward.log"
        self.start()

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _FORWARD], env=self._environment, stdout=out, stderr=out
            )

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self._process.kill()
        self._process.wait()

    def memory(self) -> float:
        """Return the memory that it has for itself, in MB; 0 while there is none."""
        with suppress(psutil.Error):
            return float(psutil.Process(self._process.pid).memory_full_info().uss) / (1 << 20)
        return 0.0

    def said(self) -> str:
        """Return what it has logged since the beginning."""
        return self._log.read_text(errors="replace")


@dataclass
class Memory:
    """Samples of forward's memory in MB, with the seconds since the first."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    def most(self, begin: float, end: float) -> float:
        """Return the most between two shares of the time, 0 to 1."""
        whole = self.samples[-1][0]
        return max(mb for at, mb in self.samples if begin * whole <= at <= end * whole)


@dataclass
class Scene:
    """What a soak works with."""

    place: Place
    receiver: Receiver
    forward: Forward
    measuring: Measuring

    @property
    def settings(self) -> Settings:
        return self.place.settings

    def delivered(self) -> set[int]:
        """Return the ids that the partner has."""
        return {each.event_id for each in list(self.receiver.deliveries) if each.event_id is not None}

    def letters(self) -> frozenset[int]:
        """Return the ids of forward's dead letters."""
        found = (
            msgspec.json.decode(record.value, type=DeadLetter)
            for record in read_all(self.settings, self.settings.topics.dead_letters)
        )
        return frozenset(each.event_id for each in found if each.source == "forward" and each.event_id is not None)

    def settle(self) -> Evidence:
        """End the generator, let the partner behave, wait until every event is done, and compare."""
        self.receiver.up()
        self.receiver.behave(WELL)
        self.measuring.stop_generator()
        wanted = set(source_ids(self.place.source))
        poison = {number for number in wanted if number % POISON_EVERY == 0}
        wait_for(lambda: self.delivered() >= wanted - poison, "the partner to have every event", _SETTLE_SECONDS)
        wait_for(lambda: self.letters() >= poison, "dead letters of what it does not take", _SETTLE_SECONDS)
        wait_for(lambda: self.measuring.seen.in_redis >= len(wanted), "the last events in Redis")
        topic: dict[str, list[int]] = defaultdict(list)
        for record in read_all(self.settings, self.settings.topics.events):
            event = msgspec.json.decode(record.value)
            topic[event["content_id"] or f"event {event['id']}"].append(event["id"])
        assert {number for ids in topic.values() for number in ids} == wanted
        return evidence(topic, self.receiver.deliveries, self.letters())


@contextmanager
def scene(endpoints: Endpoints, rate: float) -> Iterator[Scene]:
    """Run relay, tally, forward, the generator and the receiver while the block runs."""
    with own_place(endpoints, start="earliest") as place, Receiver(SECRETS) as receiver:
        receiver.behave(WELL)
        settings = place.settings.replace(
            api_url=SecretStr(receiver.url),
            api_signing_key=SecretStr(SIGNING_KEY),
            forward_group=f"forward-{place.settings.topics.events}",
        )
        ours = Place(place.source, settings)
        with streaming(endpoints, ours, ("relay", "tally"), rate) as measuring:
            forward = Forward(environment(endpoints, settings.state_dir, settings), settings.state_dir)
            try:
                wait_for(lambda: receiver.state.events, "the first events at the partner")
                yield Scene(ours, receiver, forward, measuring)
            except AssertionError:
                log.exception("forward's log ends with:\n%s", forward.said()[-3_000:])
                raise
            finally:
                forward.kill()


@contextmanager
def moody(receiver: Receiver, every: float, seed: int) -> Iterator[None]:
    """Let the partner change its mood while the block runs; every other one is a mix, some are an absence."""
    luck, closing = random.Random(seed), threading.Event()

    def change() -> None:
        while not closing.wait(every):
            mood = luck.choice((None, *MOODS, *[MIX] * len(MOODS)))
            if mood is None:
                receiver.down()
            else:
                receiver.up()
                receiver.behave(mood)

    thread = threading.Thread(target=change, daemon=True)
    receiver.behave(MIX)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


@contextmanager
def watched(forward: Forward) -> Iterator[Memory]:
    """Sample forward's memory while the block runs."""
    memory, closing, began = Memory(), threading.Event(), time.monotonic()

    def sample() -> None:
        while not closing.wait(0.5):
            memory.samples.append((time.monotonic() - began, forward.memory()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        closing.set()
        thread.join()
