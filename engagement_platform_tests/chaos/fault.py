"""What a fault is: it says what it does, what heals it, and for how long sinks may stand still."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engagement_platform_tests.chaos.system import System

SINKS = ("kafka", "redis", "warehouse", "partner")

USUAL: Mapping[str, float] = {"kafka": 2.0, "redis": 5.0, "warehouse": 10.0, "partner": 15.0}
"""What is promised of each sink on any day, in seconds from the commit: where a fault is none of the sink's."""

AIM: Mapping[str, float] = {"warehouse": 10.0}
"""What a sink should keep to after any fault; where a budget is longer, the report shows both."""

Inflict = Callable[["System", Random], None]
"""Does it, and returns when what is broken has been healed from outside, as far as it has to be."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    what: str
    heals: str
    """What heals it: the platform by itself, or what an operator does."""
    inflict: Inflict
    takes: float
    """Seconds from its beginning until everything should be as before."""
    budgets: Mapping[str, float] = field(default_factory=dict)
    """Sink -> for how long it may stand still, in seconds, where that is not what is usual."""
    since: Literal["commit", "healed"] = "commit"
    """Whether a standstill is counted from the event's commit, or beyond the fault: from when it was healed outside."""
    once: bool = False
    needs: str = ""
    """What has to be there for it, such as root; empty where it can always be done."""

    def budget(self, sink: str) -> float:
        """Return for how long a sink may stand still, in seconds."""
        return self.budgets.get(sink, USUAL[sink])

    def aim(self, sink: str) -> float:
        """Return for how long it should stand still at most, in seconds: never longer than its budget."""
        return min(self.budget(sink), AIM.get(sink, self.budget(sink)))
