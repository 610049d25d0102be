from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from engagement_platform.adapters.redis.ranking_script import Ranked
from engagement_platform.domain.loop_state import Activity, LoopState, Pause, to_object
from engagement_platform.domain.status import LoopStatus, Summary
from engagement_platform.local.demo.figures import Figures, Handled
from engagement_platform.local.demo.screen import Meter, Totals, View, duration, isolated, line, screen
from engagement_platform.local.demo.visibility import Quantiles, Sighting

PAGE = "http://127.0.0.1:3010"
ARABIC = "حكايات المدينة القديمة"


def view(*titles: str) -> View:
    top = tuple(
        Ranked(f"id-{n}", 90_000, {"slug": "slug", "title": title, "content_type": "podcast"})
        for n, title in enumerate(titles)
    )
    seen = Sighting(
        noted=1_200, in_kafka=1_190, in_redis=1_180, waiting=20, last_minute_ms=Quantiles(21.0, 50.0, 104.6, 9.0)
    )
    loops = {
        "relay": loop("relay", Activity.STREAMS),
        "tally": loop("tally", Activity.STREAMS),
        "forward": loop("forward", Activity.STREAMS, lag=7),
        "stage": loop("stage", Activity.STREAMS, lag=440),
    }
    figures = Figures(5_000, top, 120, 3, loops, {"forward": 1_170, "stage": 900})
    totals = Totals(1_200, 1_190, 1_180, 1_170, 900)
    return View(65, figures, seen, totals, Totals(200, 201, 199, 198, 197), PAGE, "http://127.0.0.1:3000")


def loop(name: str, kind: Activity, subject: str = "", lag: int | None = 0) -> LoopStatus:
    return LoopStatus(name, 0.4, ended=False, progress={"lag": lag, "state": to_object(LoopState(kind, 0, subject))})


def rendered(what: View, width: int = 100) -> list[str]:
    console = Console(width=width, height=40, force_terminal=False, record=False)
    with console.capture() as capture:
        console.print(screen(what))
    return capture.get().splitlines()


def test_the_screen_shows_what_flows() -> None:
    text = "\n".join(rendered(view("A Title")))
    for part in (
        "PostgreSQL",
        "Kafka",
        "Redis",
        "1,200",
        "1,180",
        "21 ms",
        "105 ms",
        "A Title",
        PAGE,
        "127.0.0.1:3000",
    ):
        assert part in text
    assert "Hand-overs: 2" in text
    assert PAGE in text.splitlines()[0], "where to look comes first"
    assert "All well." in text


def test_every_sink_is_shown_with_what_waits_for_it_and_its_state() -> None:
    rows = {text.split()[0]: text.split()[1:] for text in rendered(view()) if "streams" in text}
    assert rows == {
        "Kafka": ["201", "1,190", "0", "streams"],
        "Redis": ["199", "1,180", "20", "streams"],
        "partner": ["198", "1,170", "7", "streams"],
        "warehouse": ["197", "900", "440", "streams"],
    }


def changed(**figures: Any) -> View:
    shown = view()
    return replace(shown, figures=replace(shown.figures, **figures))


def test_a_pause_is_shown_with_who_and_why() -> None:
    pause = Pause("tally", datetime(2026, 3, 1, tzinfo=UTC), "me@here", "Redis moves")
    sentence = f"1 of 4 loops stands still: tally paused {pause}"
    shown = changed(pauses={"tally": pause}, summary=Summary(well=False, sentence=sentence))
    assert sentence in "\n".join(rendered(shown, 160))
    assert line(shown).endswith(f" | {sentence}")
    assert "paused" not in line(view())


def test_a_server_that_is_away_is_named_with_the_time_and_the_way_back() -> None:
    shown = changed(
        away={"valkey": 0},
        loops={**view().figures.loops, "tally": loop("tally", Activity.WAITS, "Redis at h:1", None)},
    )
    text = " ".join("\n".join(rendered(shown, 200)).split())
    assert "valkey does not answer since 1970-01-01 00:00:00 UTC: `engagement-platform up` in another terminal" in text
    assert "Redis 199 1,180 20 waits for Redis at h:1" in text
    assert "All well" not in text
    assert "valkey does not answer since" in line(shown)


def test_what_the_loops_of_successive_runs_handled_is_added_up() -> None:
    handled = Handled()
    for run, events in (("a", 5), ("a", 9), ("b", 0), ("a", 11), ("b", 4), ("b", 1)):
        handled.add(run, {"stage": LoopStatus("stage", 0, ended=False, progress={"events": events})})
    assert handled.totals == {"stage": 9 + 2 + 4 + 1}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "00:00:00"), (-1, "00:00:00"), (27_645.9, "07:40:45"), (115_660, "32:07:40")]
)
def test_a_duration_has_one_form(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_arabic_titles_stand_last_and_are_isolated() -> None:
    lines = [text for text in rendered(view(ARABIC, "Plain", f"🎧 {ARABIC}")) if "podcast" in text]
    assert len(lines) == 3
    assert {text.index("podcast") for text in lines} == {lines[0].index("podcast")}
    assert lines[0].rstrip().endswith(isolated(ARABIC))


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    titles = (ARABIC * 8, "long " * 40, "👩\u200d🚀 " * 30)
    assert all(cell_len(text) <= width for text in rendered(view(*titles), width))


def test_a_title_cannot_move_the_cursor_or_turn_the_line_around() -> None:
    assert "\x1b" not in isolated("a\x1b[2Jb")
    assert "\u202e" not in isolated("a\u202eb")
    assert "\n" not in isolated("a\nb")


def test_before_the_first_event_there_are_no_figures() -> None:
    empty = View(0, Figures(0, (), None, 0), Sighting(), Totals(), Totals(), PAGE, "http://127.0.0.1:3000")
    assert "p50 -" in line(empty)
    assert rendered(empty)


def test_a_line_says_all_of_it() -> None:
    said = line(view())
    assert said.startswith("00:01:05 | ")
    for part in ("PostgreSQL 5,000 (200/s)", "Kafka 1,190 (201/s)", "Redis 1,180 (199/s, 20 waiting)", "hand-overs 2"):
        assert part in said


def test_rates_are_those_of_the_last_seconds() -> None:
    meter = Meter()
    assert meter.rates(0, Totals(100)) == Totals()
    assert meter.rates(2, Totals(300, 200, 20)) == Totals(100, 100, 10)
    for second in range(3, 30):
        last = meter.rates(second, Totals(300, 200, 20))
    assert last == Totals()
