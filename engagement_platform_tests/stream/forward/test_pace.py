from engagement_platform.stream.forward.pace import Pace

LEAST = 100


def test_a_backlog_that_shrinks_has_a_pace_and_an_end() -> None:
    pace = Pace()
    assert pace.note(0.0, 0, 500, LEAST) == (None, "")
    assert pace.note(1.0, 150, 400, LEAST) == (None, "")
    assert pace.note(2.0, 300, 300, LEAST) == (150, "")
    assert pace.note(4.0, 700, 200, LEAST) == (200, "")
    assert pace.note(5.0, 1_000, 10, LEAST) == (None, "Caught up: 1000 events in 5.0 s, 200 a second.")
    assert pace.note(6.0, 1_100, 10, LEAST) == (None, "")


def test_a_backlog_of_a_moment_is_not_worth_a_word() -> None:
    pace = Pace()
    pace.note(0.0, 0, 500, LEAST)
    assert pace.note(1.0, 500, 0, LEAST) == (None, "")


def test_the_time_in_which_the_partner_is_out_does_not_count() -> None:
    pace = Pace()
    pace.note(0.0, 0, 500, LEAST)
    pace.interrupt()
    assert pace.note(120.0, 0, 60_000, LEAST) == (None, "")
    assert pace.note(122.0, 12_000, 48_000, LEAST) == (6_000, "")
    assert pace.note(130.0, 60_000, 0, LEAST) == (None, "Caught up: 60000 events in 10.0 s, 6000 a second.")
