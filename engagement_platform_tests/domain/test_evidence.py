"""What became of an hour's events in each sink: the rules."""

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import evidence
from engagement_platform.domain.evidence import Evidence, Hour, Verdict
from engagement_platform.domain.reconciliation import Ids, named
from engagement_platform.domain.windows import Window

ids = st.sets(st.integers(1, 60))


def hour(numbers: set[int]) -> Hour:
    """An hour's messages in two partitions; the offset of a message is its id."""
    ordered = sorted(numbers)
    return Hour(ordered, [number % 2 for number in ordered], ordered)


@given(ids, ids, ids)
def test_the_topic_has_each_row_of_the_source_or_its_dead_letter(
    source: set[int], lost: set[int], dead: set[int]
) -> None:
    found = evidence.of_topic(source, sorted(source - lost), dead)
    assert found.missing == named((source & lost) - dead)
    assert found.present == len(source - lost)
    assert (found.verdict is Verdict.BROKEN) == bool((source & lost) - dead)


def test_a_row_that_the_topic_has_twice_is_named() -> None:
    assert evidence.of_topic({1, 2}, [1, 2, 2], ()).doubled == Ids(1, (2,))
    assert evidence.of_topic({1}, [1, 9, 9], ()).verdict is Verdict.BROKEN, "also one that the source has no more"


@given(ids, ids, ids, st.integers(0, 61))
def test_what_the_table_lacks_is_missing_where_the_stage_has_passed_it_and_awaited_else(
    arrived: set[int], lost: set[int], dead: set[int], come_to: int
) -> None:
    rows = sorted(number for number in arrived - lost if number < come_to)
    found = evidence.of_table(hour(arrived), arrived, {0: come_to, 1: come_to}, rows, dead)
    assert found.missing == named({n for n in (arrived & lost) - dead if n < come_to})
    assert found.awaited == named({n for n in arrived - dead if n >= come_to})
    assert found.expected == found.present + found.letters + found.missing.count + found.awaited.count


def test_the_table_need_not_have_what_the_owner_has_deleted() -> None:
    assert evidence.of_table(hour({1, 2}), {1}, {0: 9, 1: 9}, [1], ()).verdict is Verdict.COMPLETE
    assert evidence.of_table(hour({1, 2}), {1, 2}, {0: 9, 1: 9}, [1, 2, 2, 7, 7], ()).doubled == named([2])


@given(ids, st.integers(0, 61), st.integers(0, 61))
def test_the_partner_waits_for_what_forward_has_not_settled(arrived: set[int], even: int, odd: int) -> None:
    found = evidence.of_partner(hour(arrived), {0: even, 1: odd})
    assert found.awaited == named({n for n in arrived if n >= (odd if n % 2 else even)})
    assert found.verdict is (Verdict.AWAITED if found.awaited.count else Verdict.COMPLETE)


def test_members_of_views_that_differ_are_named_with_both_sums() -> None:
    recounted = {"device": {"ios": [2, 7], "web": [1, 0]}}
    assert evidence.of_views({"device": {"ios": [2, 7], "web": [1, 0]}}, recounted, "now").verdict is Verdict.COMPLETE
    found = evidence.of_views({"device": {"ios": [2, 8]}}, recounted, "now")
    assert (found.expected, found.missing.count, found.verdict) == (3, 2, Verdict.BROKEN)
    assert "device ios: [2, 8] in place of [2, 7]" in found.note
    assert "device web: None in place of [1, 0]" in evidence.in_words([found])


def test_only_what_counts_at_a_time_is_added_up() -> None:
    window, totals = Window(20_000, 10_000, 5_000), {"device": {"ios": [1, 1]}}
    buckets = {at: {"device": {"ios": [1, 2], "web": [1, 0]}} for at in (-10_000, 0, 20_000, 30_000, 40_000)}
    evidence.live_sums(totals, buckets, window, 25_000)
    assert totals == {"device": {"ios": [4, 7], "web": [3, 0]}}


def test_the_worst_decides_and_is_said() -> None:
    good, late = Evidence("redis", 3), Evidence("warehouse", 3, awaited=Ids(1, (3,)))
    gone, unknown = Evidence("kafka", 3, missing=Ids(2, (1, 2))), evidence.unknown("partner", "Nobody knows.")
    assert evidence.verdict_of([good]) is Verdict.COMPLETE
    assert evidence.verdict_of([good, unknown]) is Verdict.UNKNOWN
    assert evidence.verdict_of([good, unknown, late]) is Verdict.AWAITED
    assert evidence.verdict_of([late, gone, good]) is Verdict.BROKEN
    said = evidence.in_words([good, late, gone, unknown])
    assert said == "warehouse: 1 on their way (3). kafka: 2 missing (1, 2). partner: Nobody knows."
    assert evidence.in_words([good]) == "Every sink has every event."
