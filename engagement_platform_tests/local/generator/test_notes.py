import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.local.generator.notes import Note, NoteWriter, decode, encode


@given(st.integers(0, 2**63), st.lists(st.integers(1, 2**63 - 1), max_size=50))
def test_a_line_says_what_was_noted(committed_ns: int, ids: list[int]) -> None:
    assert decode(encode(committed_ns, ids)) == Note(committed_ns, ids)


def test_half_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid"):
        decode(b"12 3x")


def test_lines_of_several_threads_never_mix() -> None:
    reading, writing = os.pipe()
    note = NoteWriter(writing, threading.Event())

    def twenty(number: int) -> None:
        for _ in range(20):
            note(number, [number] * 20)

    threads = [threading.Thread(target=twenty, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        lines = [decode(line) for line in file]
    assert len(lines) == 60
    assert all(line.ids == [line.committed_ns] * 20 for line in lines)


def test_the_generator_ends_when_nobody_reads_its_notes() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stop = threading.Event()
    NoteWriter(writing, stop)(1, [1])
    os.close(writing)
    assert stop.is_set()
