"""What a loop has done since it started, and how it stands: what `domain.progress` declares, as the loop counts it."""

import time
from dataclasses import replace

from engagement_platform.domain.latency import Histogram
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.progress import AS_OF, EVENTS, LAG, Choice, Counter, Figures, Gauge

_ELSEWHERE = frozenset({EVENTS.name, LAG.name, AS_OF.name})


class Progress:
    """The figures of a loop. The loop writes, threads read; no value depends on another."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        """Partition -> offset of the next event to handle, as far as the loop has come. The relay has none."""
        self.state = LoopState(Activity.STARTS, time.time())
        self.is_news = False
        """Whether others have to know how the loop stands before its next regular heartbeat."""
        self.latency = Histogram()
        """From commit (an upper bound) to the loop's effect, in seconds."""
        self._counters: dict[Counter, int] = {}
        self._gauges: dict[Gauge, float] = {}
        self._choices: dict[Choice, str] = {}

    @property
    def events(self) -> int:
        """Events handled."""
        return self._counters.get(EVENTS, 0)

    @property
    def lag(self) -> int | None:
        """Events that wait; None while that is not known."""
        lag = self._gauges.get(LAG)
        return None if lag is None else int(lag)

    @lag.setter
    def lag(self, events: int | None) -> None:
        if events is None:
            self._gauges.pop(LAG, None)
        else:
            self._gauges[LAG] = events

    def count(self, counter: Counter, number: int = 1) -> None:
        """Add to a counter."""
        if number:
            self._counters[counter] = self._counters.get(counter, 0) + number

    def reach(self, counter: Counter, number: int) -> None:
        """Set a counter that is kept elsewhere, where it only grows."""
        self._counters[counter] = number

    def set(self, gauge: Gauge, number: float) -> None:
        """Set a gauge."""
        self._gauges[gauge] = number

    def advance(self, gauge: Gauge, number: float) -> None:
        """Set a gauge that never goes back: what was known up to a moment stays true, whatever is not known later."""
        self._gauges[gauge] = max(number, self._gauges.get(gauge, number))

    def choose(self, choice: Choice, word: str) -> None:
        """Set one of the words of a choice."""
        self._choices[choice] = word

    def enter(self, state: LoopState) -> None:
        """Be in a state from now on; it keeps its beginning while it is about the same."""
        if state.about(self.state):
            state = replace(state, since=self.state.since)
        else:
            self.is_news = True
        self.state = state

    def streams(self) -> None:
        """Handle events as they come. Cheap, for it is called with each batch."""
        if self.state.kind is not Activity.STREAMS:
            self.enter(LoopState(Activity.STREAMS, time.time()))

    def figures(self) -> Figures:
        """Return the values at this moment."""
        return Figures(
            self._counters.copy(),
            self._gauges.copy(),
            self._choices.copy(),
            self.latency.present(),
            state=self.state,
        )

    @property
    def detail(self) -> dict[str, float | str]:
        """The figures of the one loop by name: all that it has told but events, lag and times."""
        told: dict[str, float | str] = {figure.name: number for figure, number in self._counters.items()}
        told |= {figure.name: number for figure, number in self._gauges.items()}
        told |= {figure.name: word for figure, word in self._choices.items()}
        return {name: value for name, value in told.items() if name not in _ELSEWHERE}
