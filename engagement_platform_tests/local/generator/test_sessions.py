from collections import Counter
from itertools import islice
from random import Random
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_platform.local.generator.sessions import MAX_LATE_SECONDS, Event, Item, Popularity, Sessions, lateness

KINDS = ("podcast", "newsletter", "video")
ITEMS = [Item(str(UUID(int=n)), KINDS[n % 3], 60) for n in range(60)]
KIND_OF = {item.id: item.content_type for item in ITEMS}


def first(count: int, seed: int = 7, rate: float = 200) -> list[Event]:
    return list(islice(Sessions(Random(seed), ITEMS, rate), count))


def test_the_same_seed_gives_the_same_events() -> None:
    assert first(2_000, seed=3) == first(2_000, seed=3)
    assert first(2_000, seed=3) != first(2_000, seed=4)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), rate=st.sampled_from([1.0, 50.0, 5_000.0]))
def test_every_event_can_be_stored_and_is_neither_too_late_nor_too_early(seed: int, rate: float) -> None:
    for event in first(500, seed, rate):
        assert event.event_type in ("play", "pause", "finish", "click")
        assert -250 <= event.age_ms <= MAX_LATE_SECONDS * 1_000
        assert event.duration_ms is None or 0 <= event.duration_ms < 2**31
        assert event.content_id is None or event.content_id in KIND_OF
        assert event.user_id is None or UUID(event.user_id)
        assert msgspec.json.decode(msgspec.json.encode(event.raw_payload)) == event.raw_payload


def test_newsletters_are_clicked_and_the_others_are_played() -> None:
    for event in first(5_000):
        if event.content_id is not None:
            assert (event.event_type == "click") == (KIND_OF[event.content_id] == "newsletter")


def test_pauses_and_finishes_follow_a_play_of_the_same_person() -> None:
    playing: Counter[tuple[str | None, str | None]] = Counter()
    for event in first(5_000):
        if event.content_id is None or event.user_id is None:
            continue
        who = (event.user_id, event.content_id)
        if event.event_type == "play":
            playing[who] += 1
        elif event.event_type in ("pause", "finish"):
            playing[who] -= 1
    # An event whose content is unknown breaks its session's count; nothing else does.
    assert sum(1 for left in playing.values() if left < 0) < 50


def test_everything_that_may_be_null_is_null_now_and_then() -> None:
    events = first(5_000)
    for share, values in (
        (0.02, [e.content_id for e in events]),
        (0.10, [e.user_id for e in events]),
        (0.10, [e.device for e in events]),
        (0.15, [e.raw_payload for e in events]),
        (0.95, [e.duration_ms for e in events]),
    ):
        assert 0 < sum(value is None for value in values) / len(values) < share
    payloads = {type(event.raw_payload) for event in events}
    assert {dict, str, int, bool, list, float} <= payloads


def test_events_arrive_out_of_order_and_some_very_late() -> None:
    ages = [event.age_ms for event in first(5_000)]
    assert max(ages) > 60_000
    assert sorted(ages)[len(ages) // 2] < 1_500
    assert min(ages) < 0


def test_a_few_contents_have_most_of_the_events() -> None:
    popularity = Popularity(Random(1), ITEMS)
    drawn = Counter(popularity.draw().id for _ in range(10_000))
    assert sum(count for _, count in drawn.most_common(6)) > 4_000
    assert len(drawn) == len(ITEMS)


@given(st.integers())
def test_lateness_is_bounded(seed: int) -> None:
    random = Random(seed)
    assert all(0 <= lateness(random) <= MAX_LATE_SECONDS for _ in range(50))
