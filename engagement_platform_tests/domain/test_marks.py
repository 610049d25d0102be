from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.marks import (
    DENSE,
    Mark,
    MarkedRows,
    Marker,
    Marks,
    compare,
    decode,
    encode,
    marked_columns,
    noted,
    worth_marking,
)
from engagement_platform_tests.streams import ORDERS, PACKAGED

mark = Marker(marked_columns(PACKAGED)).mark
MESSAGE = (
    b'{"id":7,"content_id":"c","user_id":"u","event_type":"play","event_ts":"2026-05-01T12:00:00+00:00",'
    b'"duration_ms":5,"device":"ios","raw_payload":{"a": 1},"title":"old"}'
)


def marks(*ids: int) -> Marks:
    return tuple(Mark(one, one, one) for one in ids)


def by_id(rows: Marks) -> dict[int, Mark]:
    return {row.id: row for row in rows}


def test_a_mark_is_of_the_event_and_not_of_its_content() -> None:
    assert mark(7, MESSAGE) == mark(7, MESSAGE.replace(b"old", b"new"))
    updated = mark(7, MESSAGE.replace(b"ios", b"tv"))
    assert (updated.who == mark(7, MESSAGE).who, updated.what == mark(7, MESSAGE).what) == (True, False)
    assert mark(7, MESSAGE.replace(b"12:00:00", b"12:00:01")).who != mark(7, MESSAGE).who


def test_a_message_that_is_cut_off_has_a_mark_too() -> None:
    assert mark(7, MESSAGE[:50]) == mark(7, MESSAGE[:50])
    assert mark(7, b"") != mark(7, MESSAGE[:50])


def test_rows_that_are_still_there_need_no_look_at_older_ones() -> None:
    assert compare(marks(1, 2, 3), by_id(marks(3))) == MarkedRows(3)


def test_an_updated_row_is_the_same_where_time_and_user_tell_rows_apart() -> None:
    assert compare(marks(1, 2), {2: Mark(2, 2, 99)}) == MarkedRows(2)
    alike = (Mark(1, 5, 1), Mark(2, 5, 2))
    assert compare(alike, {1: alike[0], 2: Mark(2, 5, 99)}) == MarkedRows(1, others=(2,))


def test_a_row_is_told_by_time_user_and_key_where_the_columns_are_others_than_when_it_was_marked() -> None:
    alike = (Mark(1, 5, 1), Mark(2, 5, 2))
    now = {1: Mark(1, 5, 8), 2: Mark(2, 5, 9)}
    assert compare(alike, now).others == (1, 2)
    assert compare(alike, now, is_reformed=True) == MarkedRows(2)
    assert compare(alike, now | {2: Mark(2, 6, 9)}, is_reformed=True) == MarkedRows(1, others=(2,))
    assert compare(alike, now | {2: Mark(2, 6, 9)}, is_reformed=True, by_id=True) == MarkedRows(2)
    assert compare(alike, {}, is_reformed=True, by_id=True) == MarkedRows(None, gone=(1, 2))


def test_a_mark_is_that_of_the_versions_before() -> None:
    """Their checkpoints are taken up."""
    who = crc32(b'"2026-05-01T12:00:00+00:00"|"u"|"c"')
    assert mark(7, MESSAGE) == Mark(7, who, crc32(b'"play"|5|"ios"|{"a": 1}', who))


def test_a_stream_that_lists_no_columns_marks_all_of_the_message() -> None:
    marker = Marker(marked_columns(ORDERS))
    one = b'{"order_no":1,"placed_at":"2026-05-01T12:00:00+00:00","customer_id":3,"cents":5}'
    assert marker.mark(1, one).who == marker.mark(1, one.replace(b'"cents":5', b'"cents":6')).who
    assert marker.mark(1, one).what != marker.mark(1, one.replace(b'"cents":5', b'"cents":6')).what
    assert marker.mark(1, one).who != marker.mark(1, one.replace(b":3,", b":4,")).who


def test_what_was_put_back_is_told_from_what_was_deleted() -> None:
    verdict = compare(marks(1, 2, 3, 4), {1: Mark(1, 1, 1), 2: Mark(2, 2, 2), 4: Mark(4, 8, 8)})
    assert verdict == MarkedRows(2, others=(4,), gone=(3,))
    assert not verdict.is_harmless
    assert compare(marks(1, 2, 3), by_id(marks(1))).is_harmless


def test_nobody_knows_which_ids_are_gone_where_older_marks_are_sparse() -> None:
    rows = noted((), marks(*range(1, 200)))
    assert compare(rows, by_id(marks(*range(1, 199 - DENSE)))).is_complete is False
    assert compare(rows, by_id(marks(*range(1, 201 - DENSE)))).is_complete is True


@given(st.lists(st.integers(1, 500), min_size=1, max_size=80), st.data())
def test_marks_are_few_and_close_to_whatever_is_lost(batches: list[int], data: st.DataObject) -> None:
    kept: Marks = ()
    last = 0
    for size in batches:
        kept = noted(kept, marks(*(last + 1 + at for at in worth_marking(size))))
        last += size
    assert len(kept) <= DENSE + 2 * last.bit_length()
    assert decode(encode(kept)) == kept
    lost = data.draw(st.integers(0, last))
    same = max((one.id for one in kept if one.id <= last - lost), default=0)
    assert last - lost - same <= 2 * lost, "what is published once more"
