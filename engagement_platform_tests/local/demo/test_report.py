from typing import Any

import pytest

from engagement_platform.adapters.redis.views import Snapshot
from engagement_platform.local.demo.compare import KeyDifference, TopicDifference
from engagement_platform.local.demo.reconcile import Reconciliation
from engagement_platform.local.demo.report import faults, report
from engagement_platform.local.demo.visibility import Quantiles, Sighting

SNAPSHOT = Snapshot({}, {}, {"content": {"a": [7, 10], "(none)": [2, 0]}, "device": {}}, {})
SEEN = Sighting(noted=9, measured=9, latency_ms=Quantiles(1.0, 2.0, 3.0, 4.0), slowest=((4.0, 5, 6),), final=True)


def made(topic: TopicDifference | None = None, views: tuple[KeyDifference, ...] = (), **seen: Any) -> dict[str, Any]:
    found = Reconciliation(9, 9, topic or TopicDifference(), 0, 0, 9, views, SNAPSHOT)
    sighting = Sighting(**{name: getattr(SEEN, name) for name in SEEN.__struct_fields__} | seen)
    return report(found, sighting, hand_overs=2, to_first=11.234, rate=200)


def test_the_promised_fields_are_there() -> None:
    figures = made()
    assert figures["committed"] == figures["in_kafka"] == figures["in_redis"] == 9
    assert figures["latency_ms"] == {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
    assert (figures["lost"], figures["doubled"], figures["late"]) == (0, 0, 0)
    assert (figures["hand_overs"], figures["seconds_to_first_event"]) == (2, 11.23)


def test_a_good_run_has_no_faults() -> None:
    assert list(faults(made())) == []


DIFFERENCE = KeyDifference("content", "a", (8, 10), (7, 10))


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (made(TopicDifference(lost=(4,))), "1 events were lost"),
        (made(TopicDifference(doubled=(4, 5))), "2 events were doubled"),
        (made(TopicDifference(unknown=(4,))), "not in PostgreSQL"),
        (made(views=(DIFFERENCE,)), "1 events were lost"),
        (made(views=(KeyDifference("device", "a", (1, 1), (4, 1)),)), "3 events were doubled"),
        (made(late=3), "3 events took more than 5 s"),
        (made(waiting=2), "2 committed events were never seen"),
        (made(measured=0), "Nothing flowed"),
    ],
)
def test_every_broken_promise_has_its_sentence(figures: dict[str, Any], sentence: str) -> None:
    broken = list(faults(figures))
    assert len(broken) == 1
    assert sentence in broken[0]


def test_differences_are_named() -> None:
    assert made(TopicDifference(lost=(4,)), (DIFFERENCE,))["examples"] == {
        "lost": (4,),
        "doubled": (),
        "unknown": (),
        "views": ["content a: 7 events and 10 ms in Redis, 8 events and 10 ms in PostgreSQL"],
    }
