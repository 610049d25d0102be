"""What became of each event: the topic held against what the partner has and what is a dead letter. Pure."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engagement_platform.local.receiver import Delivery


@dataclass(frozen=True)
class Evidence:
    """Ids that break a promise, each kind empty when it is kept, and how often events came again."""

    missing: frozenset[int]
    """In the topic, and neither delivered nor a dead letter."""
    unknown: frozenset[int]
    """Delivered or a dead letter, and not in the topic."""
    out_of_order: tuple[tuple[str, int, int], ...]
    """Content, and two of its events whose first arrivals are the wrong way round."""
    other_keys: frozenset[int]
    """Delivered with more than one key, or with the key of another event."""
    repeats: int
    """Deliveries of events that the partner had already."""


def evidence(topic: Mapping[str, Sequence[int]], deliveries: Iterable[Delivery], letters: frozenset[int]) -> Evidence:
    """Compare. `topic` has the ids of each content in the order of the topic."""
    keys: dict[int, set[str]] = defaultdict(set)
    first: dict[str | None, list[int]] = defaultdict(list)
    count = 0
    for each in deliveries:
        assert each.event_id is not None, "the partner gets the ids"
        count += 1
        if each.event_id not in keys:
            first[each.content_id].append(each.event_id)
        keys[each.event_id].add(each.key)
    in_topic = {number for ids in topic.values() for number in ids}
    done = keys.keys() | letters
    owners = {key: number for number, those in keys.items() for key in those}
    return Evidence(
        frozenset(in_topic - done),
        frozenset(done - in_topic),
        tuple(wrong for content, ids in topic.items() for wrong in _swapped(content, ids, first[content])),
        frozenset(n for n, those in keys.items() if len(those) > 1 or any(owners[key] != n for key in those)),
        count - len(keys),
    )


def _swapped(content: str, ids: Sequence[int], arrived: Sequence[int]) -> Iterable[tuple[str, int, int]]:
    place = {number: at for at, number in enumerate(ids)}
    known = [number for number in arrived if number in place]
    return ((content, a, b) for a, b in itertools.pairwise(known) if place[a] > place[b])
