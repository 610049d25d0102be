"""What a run comes to, fault by fault: events, lost, doubled, order, standstills beside their budgets. Pure."""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engagement_platform_tests.chaos.fault import SINKS, USUAL, Fault
from engagement_platform_tests.chaos.run import Outcome
from engagement_platform_tests.chaos.standstill import Marker, Occurrence, fault_of, middle_and_worst, standstills

BEFORE = "no fault"
"""The row of what belongs to none."""


@dataclass(frozen=True)
class Still:
    """For how long a sink stood still, in seconds."""

    middle: float
    worst: float
    budget: float
    aim: float
    """At most the budget."""

    @property
    def verdict(self) -> str:
        """`ok`, `above the aim` or `missed`."""
        if self.worst > self.budget:
            return "missed"
        return "ok" if self.worst <= self.aim else "above the aim"


@dataclass(frozen=True)
class Row:
    """All that one kind of fault did."""

    name: str
    what: str
    heals: str
    times: int
    events: int
    lost: int
    doubled: int
    disordered: int
    still: Mapping[str, Still]

    @property
    def broken(self) -> bool:
        """Whether a guarantee was broken."""
        return bool(self.lost or self.doubled or self.disordered)

    @property
    def missed(self) -> bool:
        """Whether a budget was missed."""
        return any(still.verdict == "missed" for still in self.still.values())

    @property
    def above(self) -> bool:
        """Whether an aim was missed, and the budget kept."""
        return any(still.verdict == "above the aim" for still in self.still.values())


def rows(outcome: Outcome, faults: Sequence[Fault]) -> list[Row]:
    """Return a row for each kind of fault that occurred, and one for the time outside of them."""
    occurrences = outcome.occurrences
    waits = {sink: standstills(outcome.markers, outcome.seen[sink], occurrences) for sink in SINKS}
    wrong = {
        "lost": _by_fault(outcome, [v.lost for v in outcome.verdicts.values()]),
        "doubled": _by_fault(outcome, [v.doubled | v.unknown for v in outcome.verdicts.values()]),
        "disordered": _by_fault(outcome, [v.disordered for v in outcome.verdicts.values()]),
    }
    places = defaultdict[str, list[int]](list)
    for place, one in enumerate(occurrences):
        places[one.name].append(place)
        views = outcome.views[place]
        wrong["lost"][one.name] += views.too_few
        wrong["doubled"][one.name] += views.too_many
    last = outcome.views[-1]
    wrong["lost"][BEFORE] += last.too_few
    wrong["doubled"][BEFORE] += last.too_many
    found = [_row(fault, places[fault.name], waits, wrong, outcome) for fault in faults if fault.name in places]
    quiet = {sink: Still(waits[sink][0], waits[sink][0], USUAL[sink], USUAL[sink]) for sink in SINKS}
    counts = {kind: those.get(BEFORE, 0) for kind, those in wrong.items()}
    none = Row(BEFORE, "the time between faults, and the end", "", 1, 0, **counts, still=quiet)
    return [none, *found]


def _row(
    fault: Fault,
    places: Sequence[int],
    waits: Mapping[str, tuple[float, dict[int, float]]],
    wrong: Mapping[str, Mapping[str, int]],
    outcome: Outcome,
) -> Row:
    still = {
        sink: Still(*middle_and_worst([waits[sink][1][place] for place in places]), fault.budget(sink), fault.aim(sink))
        for sink in SINKS
    }
    events = sum(_ids_within(outcome.markers, outcome.occurrences[place]) for place in places)
    counts = {kind: those.get(fault.name, 0) for kind, those in wrong.items()}
    return Row(fault.name, fault.what, fault.heals, len(places), events, **counts, still=still)


def _ids_within(markers: Sequence[Marker], one: Occurrence) -> int:
    """Return how many ids were given out while a fault and its healing went on, of which some were rolled back."""
    ids = [marker.event_id for marker in markers if one.began <= marker.committed <= one.flowed]
    return ids[-1] - ids[0] + 1 if ids else 0


def _by_fault(outcome: Outcome, wrong: Iterable[frozenset[int]]) -> dict[str, int]:
    """Return fault -> how many ids are wrong that were given out since it began, in all sinks together."""
    counts = defaultdict[str, int](int)
    ids = [marker.event_id for marker in outcome.markers]
    for number in (number for those in wrong for number in those):
        marker = outcome.markers[min(bisect.bisect_left(ids, number), len(ids) - 1)] if ids else None
        place = fault_of(marker.committed, outcome.occurrences) if marker else None
        counts[BEFORE if place is None else outcome.occurrences[place].name] += 1
    return counts
