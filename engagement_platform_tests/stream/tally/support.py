"""A tally in a thread, and exact comparisons: a recount of what was sent, as of as_of."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from engagement_platform.adapters.kafka import consumer
from engagement_platform.adapters.redis.views import Snapshot, Views
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.domain.playback import Playbacks
from engagement_platform.domain.windows import NONE
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.tally import loop as tally
from engagement_platform.stream.topic_watch import window_of
from engagement_platform_tests.adapters.kafka.topic import Sent, eventually
from engagement_platform_tests.recount import recount
from engagement_platform_tests.streams import PACKAGED, known


class Running:
    """A tally in a thread of its own."""

    def __init__(self, settings: Settings, control: Standalone | None = None) -> None:
        self.control = control or Standalone()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(settings,), daemon=True)
        self._thread.start()

    def _run(self, settings: Settings) -> None:
        try:
            tally.run(settings, self.control)
        except BaseException as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def told(self) -> str:
        """Why it stands still until a person acts, in words; empty while it does not."""
        state = self.control.progress.state
        return in_words(state) if state.kind in {Activity.STOPPED, Activity.REFUSED} else ""

    def finish(self, timeout: float = 20.0) -> None:
        """Stop it, and raise what it raised."""
        self.control.stop.set()
        self._thread.join(timeout)
        assert self.ended
        if self.error:
            raise self.error


class Impatient(Standalone):
    """Notes for how long it was to wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return super().wait(0)


Start = Callable[..., Running]


def drain(settings: Settings, stream: EventStream | None = None) -> Standalone:
    control = Standalone(drain=True)
    stream = stream or PACKAGED
    with known(stream):
        tally.run(settings.replace(stream=stream.name), control)
    return control


def playbacks(stream: EventStream, sent: list[Sent]) -> list[Any]:
    read = Playbacks(stream).read
    read_back = [read(json.dumps(one).encode()) for one in sent]
    assert None not in read_back
    return read_back


def difference(
    found: Snapshot, sent: list[Sent], settings: Settings, stream: EventStream | None = None
) -> tuple[Any, Any] | None:
    stream = stream or PACKAGED
    expected = recount(stream, playbacks(stream, sent), window_of(settings.views), found.as_of_ms)
    return None if found.as_of_ms and found.views == expected else (found.views, expected)


def assert_exact(views: Views, sent: list[Sent], settings: Settings, stream: EventStream | None = None) -> Snapshot:
    found = views.snapshot()
    assert difference(found, sent, settings, stream) is None
    shown = {one.name for one in (stream or PACKAGED).views.dimensions if one.shown}
    assert {name: set(texts) for name, texts in found.display.items()} == {
        name: found.views[name].keys() - {NONE} for name in shown
    }
    return found


def becomes_exact(views: Views, sent: list[Sent], settings: Settings, stream: EventStream | None = None) -> None:
    eventually(lambda: difference(views.snapshot(), sent, settings, stream) is None)
    assert_exact(views, sent, settings, stream)


def generation(views: Views) -> str | None:
    return views.snapshot().meta.get("generation")


def ends(settings: Settings) -> dict[int, int]:
    reader = consumer.TopicReader(settings.kafka, settings.topics.events)
    try:
        return reader.end_offsets()
    finally:
        reader.close()


def lines(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)
