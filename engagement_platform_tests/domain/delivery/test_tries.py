from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.delivery.tries import Tried, from_text, to_text

tries = st.builds(Tried, st.integers(0, 100_000), st.integers(0, 2**33))
several = st.dictionaries(st.integers(0, 2**40), tries | st.just(Tried(40, 1_800_000_000)), max_size=60)


@given(several, st.integers(0, 2**40))
def test_what_is_written_is_read_again(tried: dict[int, Tried], base: int) -> None:
    assert from_text(to_text(tried, base, 1 << 20), base) == {at: one for at, one in tried.items() if at >= base}


@given(several, st.integers(0, 500))
def test_a_text_has_an_end_and_keeps_those_tried_longest(tried: dict[int, Tried], most: int) -> None:
    text = to_text(tried, 0, most)
    assert len(text) <= most
    kept = from_text(text, 0)
    assert kept.items() <= tried.items()
    left = [one.seconds for at, one in tried.items() if at not in kept]
    assert not left or not kept or max(left) <= min(one.seconds for one in kept.values())


def test_hundreds_that_failed_together_have_room() -> None:
    together = {1_000_000 + number: Tried(37, 1_800_000_000) for number in range(600)}
    assert from_text(to_text(together, 1_000_000, 3_000), 1_000_000) == together


@given(st.text())
def test_of_what_somebody_else_wrote_nothing_is_believed(text: str) -> None:
    assert isinstance(from_text(text, 0), dict)
    assert from_text("somebody else's", 0) == {}
