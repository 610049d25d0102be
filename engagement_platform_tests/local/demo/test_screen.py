from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from engagement_platform.adapters.redis.views import Ranked, Shown
from engagement_platform.domain.pauses import Pause
from engagement_platform.local.demo.figures import Figures
from engagement_platform.local.demo.screen import Meter, Rates, View, isolated, line, screen
from engagement_platform.local.demo.sightings import Quantiles, Sighting

ARABIC = "حكايات المدينة القديمة"


def view(*titles: str) -> View:
    top = tuple(Ranked(f"id-{n}", 90_000, Shown("slug", title, "podcast")) for n, title in enumerate(titles))
    seen = Sighting(
        noted=1_200, in_kafka=1_190, in_redis=1_180, waiting=20, last_minute_ms=Quantiles(21.0, 50.0, 104.6, 9.0)
    )
    return View(65, Figures(0, 5_000, top, 120, 3), seen, Rates(200, 201, 199), "http://127.0.0.1:3000")


def rendered(what: View, width: int = 100) -> list[str]:
    console = Console(width=width, height=40, force_terminal=False, record=False)
    with console.capture() as capture:
        console.print(screen(what))
    return capture.get().splitlines()


def test_the_screen_shows_what_flows() -> None:
    text = "\n".join(rendered(view("A Title")))
    for part in ("PostgreSQL", "Kafka", "Redis", "1,200", "1,180", "21 ms", "105 ms", "A Title", "127.0.0.1:3000"):
        assert part in text
    assert "Hand-overs: 2" in text


def test_a_pause_is_shown_with_who_and_why() -> None:
    pause = Pause("tally", datetime(2026, 3, 1, tzinfo=UTC), "me@here", "Redis moves")
    shown = replace(view(), figures=replace(view().figures, pauses=(pause,)))
    assert "Paused: tally, since 2026-03-01 00:00:00 UTC by me@here: Redis moves" in "\n".join(rendered(shown))
    assert line(shown).endswith(" | tally is paused")
    assert "paused" not in line(view())


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
    empty = View(0, Figures(0, 0, (), None, 0), Sighting(), Rates(), "http://127.0.0.1:3000")
    assert "p50 -" in line(empty)
    assert rendered(empty)


def test_a_line_says_all_of_it() -> None:
    said = line(view())
    assert said.strip().startswith("65 s")
    for part in ("PostgreSQL 5,000 (200/s)", "Kafka 1,190 (201/s)", "Redis 1,180 (199/s, 20 waiting)", "hand-overs 2"):
        assert part in said


def test_rates_are_those_of_the_last_seconds() -> None:
    meter = Meter()
    assert meter.rates(0, 100, 0, 0) == Rates(0, 0, 0)
    assert meter.rates(2, 300, 200, 20) == Rates(100, 100, 10)
    for second in range(3, 30):
        last = meter.rates(second, 300, 200, 20)
    assert last == Rates(0, 0, 0)
