"""What a test orders to go wrong. Each order holds for the next request or job that it fits, so many times."""

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Faults:
    """The orders of one server. Names of requests are those of the API's methods, such as jobs.insert."""

    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Method: reason and message with which it is always refused."""
    refused_once: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Method: the same, for the next requests, one each."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Method: how many of the next requests are carried out and never answered."""
    failing: list[tuple[str, str]] = field(default_factory=list)
    """Reason and message with which the next jobs end; half of their rows were written by then."""
    held: list[threading.Event] = field(default_factory=list)
    """The next jobs run only once their event is set; until then they are under way."""
    hidden: int = 0
    """How many of the next look-ups of a job do not find it yet."""
    seen: Counter[str] = field(default_factory=Counter)
    """Method: how many requests came."""
