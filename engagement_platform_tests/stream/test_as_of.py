"""As of when everything is handled."""

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.kafka.kafka_python.records import KafkaPythonRecord
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.messages import HEADER_UNSEEN_AT
from engagement_platform.stream.as_of import AsOf


def message(unseen_at: int | None) -> Record:
    headers = [] if unseen_at is None else [(HEADER_UNSEEN_AT, b"%d" % unseen_at)]
    return KafkaPythonRecord("events", 0, 0, 0, 0, None, b"{}", headers)


def test_at_the_end_of_all_partitions_it_is_now_with_events_or_without() -> None:
    as_of = AsOf()
    assert as_of.of({0, 1}, {0, 1}, 100.0) == 100.0
    as_of.handled({0: [message(50_000_000)]})
    assert as_of.of({0, 1}, {0, 1}, 100.0) == 100.0


def test_else_it_is_that_of_the_partition_that_is_furthest_behind() -> None:
    as_of = AsOf()
    as_of.handled({0: [message(40_000_000), message(50_000_000)], 1: [message(30_000_000)]})
    assert as_of.of({0, 1}, set(), 100.0) == 30.0
    assert as_of.of({0, 1}, {1}, 100.0) == 50.0


def test_it_is_not_known_while_a_partition_is_not() -> None:
    as_of = AsOf()
    as_of.handled({0: [message(50_000_000)], 1: [message(None)], 2: []})
    assert as_of.of({0, 1}, {0}, 100.0) is None
    assert as_of.of(set(), set(), 100.0) is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 100)), max_size=30))
def test_it_never_passes_an_event_that_is_not_handled(published: list[tuple[int, int]]) -> None:
    """The relay writes each partition in the order of unseen-at; what is not handled yet is newer."""
    times = sorted(at for _, at in published)
    log = [(partition, at) for (partition, _), at in zip(published, times, strict=True)]
    as_of = AsOf()
    for done, (partition, at) in enumerate(log, 1):
        as_of.handled({partition: [message(at * 1_000_000)]})
        waiting = log[done:]
        at_end = {0, 1, 2} - {one for one, _ in waiting}
        known = as_of.of({0, 1, 2}, at_end, 1_000.0)
        assert known is None or all(known <= unseen for _, unseen in waiting)
