from engagement_platform.stream.backoff import STEADY_SECONDS, Backoff, Spacing


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_new_waits_for_nothing_and_what_goes_on_ever_longer() -> None:
    clock = Clock()
    spacing = Spacing(longest=1.0, first=0.2, clock=clock)
    pauses = []
    for _ in range(6):
        pauses.append(spacing.pause())
        clock.now += pauses[-1]
    assert pauses == [0, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_what_has_passed_is_new_again() -> None:
    clock = Clock()
    spacing = Spacing(longest=1.0, first=0.2, clock=clock)
    spacing.pause()
    clock.now += STEADY_SECONDS - 1
    assert spacing.pause() == 0.2
    clock.now += 0.2 + STEADY_SECONDS
    assert spacing.pause() == 0


def test_pauses_grow_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(first=1.0, longest=3.0)
    assert [backoff.pause() for _ in range(4)] == [1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.pause() == 1.0
