"""What the page Now says and draws, from samples: the sentence, the picture, the plot, the ranking, hand-overs."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from engagement_platform.console.serve import now
from engagement_platform.console.serve.headline import headline_of
from engagement_platform.console.serve.picture import picture_of
from engagement_platform.console.serve.plot import HEIGHT, WIDTH, latency_plot
from engagement_platform.console.serve.sampler import Point, _point
from engagement_platform.console.serve.site import with_code
from engagement_platform.console.serve.texts import UNKNOWN, Texts
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.loop_state import Activity
from engagement_platform.health.read import Status
from engagement_platform.stream.registry import LOOPS, NAMES
from engagement_platform_tests.console.serve import states
from engagement_platform_tests.console.serve.conftest import HTML, NOWHERE, Still, unread

ENGLISH, ARABIC = Texts("en"), Texts("ar")


def test_all_well_has_the_rate_and_how_soon_events_are_in_redis() -> None:
    headline = headline_of(states.well(), "engagement", ENGLISH, time.time())
    assert (headline.tone, headline.word) == ("well", "All well")
    assert headline.sentence == "All well: 1,012 events a second, in Redis after 22 ms"
    slow = states.well(relay=states.streams("relay", done=0.4))
    assert "0.4 events a second" in headline_of(slow, "engagement", ENGLISH, time.time()).sentence


def test_what_was_not_read_yet_is_not_well() -> None:
    headline = headline_of(unread(), "engagement", ENGLISH, time.time())
    assert (headline.tone, headline.word, headline.sentence) == ("unknown", "Not known", "It has not been read yet")


def test_without_events_all_is_well_too() -> None:
    quiet = states.well(relay=states.streams("relay", done=0.0))
    assert headline_of(quiet, "engagement", ENGLISH, time.time()).sentence == "All well: no events come at the moment"


def test_a_stream_that_rests_has_no_figures_of_a_run_that_has_ended() -> None:
    resting = states.rests().streams["engagement"]
    assert isinstance(resting.status, Status)
    for texts in (ENGLISH, ARABIC):
        headline = headline_of(states.rests(), "engagement", texts, time.time())
        assert headline.tone == "well"
        assert "1,012" not in headline.sentence
        ended = resting.status.snapshot.lease.released_at  # type: ignore[union-attr]
        assert f"{ended:%Y-%m-%d %H:%M} UTC" in headline.sentence
    assert "nobody streams" in headline_of(states.rests(), "engagement", ENGLISH, time.time()).sentence
    assert _point(7.0, resting.status) == Point(7.0, {}, {}, {})
    picture = picture_of(resting, ENGLISH, time.time())
    assert {(hop.tone, hop.rate, hop.flows) for hop in picture.hops.values()} == {("idle", UNKNOWN, False)}
    nothing = replace(resting.status, snapshot=LeaseSnapshot(resting.status.snapshot.now, None, ()), loops={})
    headline = headline_of(states.sample(nothing), "engagement", ENGLISH, time.time())
    assert headline.sentence == "All well: nobody has streamed yet"


def test_a_loop_that_has_ended_while_others_go_on_has_no_figures() -> None:
    drained = states.well().streams["engagement"].status
    assert isinstance(drained, Status)
    loops = {**drained.loops, "relay": replace(drained.loops["relay"], ended=True)}
    point = _point(0.0, replace(drained, loops=loops))
    assert point.rate.keys() == point.p50.keys() == point.p99.keys() == set(NAMES) - {"relay"}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("texts", [ENGLISH, ARABIC], ids=lambda texts: texts.language)
def test_a_condition_whose_form_nobody_has_translated_is_said_in_its_own_words(kind: Kind, texts: Texts) -> None:
    other = Condition(kind, Severity.WARNING, "", "x", time.time() - 90, "It is so.", "It means this.", "Do that.")
    sample = replace(states.well(), conditions=(other,))
    headline = headline_of(sample, "engagement", texts, time.time())
    assert "It is so" in headline.sentence
    assert "Do that." in (headline.todo, headline.detail) or "Do that." in headline.detail


def test_what_is_wrong_with_another_stream_does_not_make_this_one_unwell() -> None:
    well, orders = states.well().streams["engagement"], states.renamed(states.redis_is_away(), "orders")
    sample = states.sample_of({"engagement": well, "orders": orders})
    headline = headline_of(sample, "engagement", ENGLISH, time.time())
    assert headline.tone == "well"
    assert [one.sentence.split(" since")[0] for one in headline.others] == [
        "Stream orders: Redis at 127.0.0.1:6379 does not answer"
    ]
    assert headline_of(sample, "orders", ENGLISH, time.time()).tone == "critical"


def test_the_sentence_on_all_streams_is_on_what_is_worst_with_any(still: Still) -> None:
    warned = states.letters_and_a_pause().streams["engagement"]
    orders = states.renamed(states.redis_is_away(), "orders")
    sample = states.sample_of({"engagement": warned, "orders": orders})
    headline = headline_of(sample, "engagement", ENGLISH, time.time(), of_all=True)
    assert (headline.tone, headline.stream) == ("critical", "orders")
    assert headline.sentence.startswith("Stream orders: Redis at 127.0.0.1:6379 does not answer")
    assert len(headline.others) == 2, "what is wrong with the first stream stands behind"
    client = still(sample)
    assert '<div class="sentence critical"' in client.get("/", headers=HTML).text
    assert '<div class="sentence warning"' in client.get("/?stream=engagement", headers=HTML).text
    assert 'data-events="/events"' in client.get("/", headers=HTML).text
    assert 'data-events="/events?stream=engagement"' in client.get("/?stream=engagement", headers=HTML).text


@pytest.mark.parametrize("state", states.STATES)
@pytest.mark.parametrize("texts", [ENGLISH, ARABIC], ids=lambda texts: texts.language)
def test_no_server_keeps_the_sentence_from_being_short(state: str, texts: Texts) -> None:
    headline = headline_of(states.STATES[state](), "engagement", texts, time.time())
    assert len(headline.sentence) < 160
    assert headline.sentence.count("\n") == 0
    assert headline.tone == "well" or headline.todo


def test_every_activity_has_its_words_and_its_tone() -> None:
    for texts in (ENGLISH, ARABIC):
        for kind in Activity:
            told = states.streams("tally") | {"state": {"kind": kind.value, "since": 0, "subject": "Redis at h:1"}}
            hop = picture_of(states.well(tally=told).streams["engagement"], texts, time.time()).hops["redis"]
            assert hop.state
            assert hop.tone in ("well", "idle", "warning", "critical")


def test_what_loops_told_last_is_not_shown_while_nobody_streams() -> None:
    picture = picture_of(states.nobody_streams().streams["engagement"], ENGLISH, time.time())
    assert {hop.state for hop in picture.hops.values()} == {"nobody streams"}
    assert not any(place.tone == "well" for place in picture.places.values())


def test_a_shard_that_nobody_has_is_named_and_what_the_others_bring_is_shown(still: Still) -> None:
    made = states.a_shard_is_left()
    picture = picture_of(made.streams["engagement"], ENGLISH, time.time())
    assert {name: hop.state for name, hop in picture.hops.items() if hop.tone == "critical"} == dict.fromkeys(
        picture.hops.keys() - {"kafka"}, "nobody streams shard 1"
    )
    assert picture.hops["kafka"].tone == "well"
    shown = [(one.index, one.epoch, one.lives) for one in now.shards_of(made.streams["engagement"])]
    assert shown == [(0, 42, True), (1, 42, False)]
    assert 'data-key="shard-1"' in still(made).get("/", headers=HTML).text
    assert now.shards_of(states.well().streams["engagement"]) == ()


def test_the_plots_show_an_hour_and_less_while_there_are_no_more_figures() -> None:
    (stream,) = states.well().streams.values()
    at = time.time()
    assert now.span_of(stream, at) == 3_600
    assert now.span_of(replace(stream, points=stream.points[-100:]), at) == 600
    assert now.span_of(replace(stream, points=()), at) == 600


def test_a_silent_loop_has_no_figures() -> None:
    hops = picture_of(states.nobody_streams().streams["engagement"], ENGLISH, time.time()).hops
    assert {(hop.rate, hop.lag, hop.latency, hop.slowest) for hop in hops.values()} == {(UNKNOWN,) * 4}
    assert not any(hop.flows for hop in hops.values())


def test_kafka_away_is_one_fault_and_what_is_behind_gets_nothing() -> None:
    picture = picture_of(states.kafka_is_away().streams["engagement"], ENGLISH, time.time())
    assert picture.places["kafka"].tone == "critical"
    assert picture.places["redis"].state == "gets nothing new"


def test_a_sink_of_ones_own_is_in_the_picture_behind_the_others(monkeypatch: pytest.MonkeyPatch, still: Still) -> None:
    own = replace(LOOPS[-1], name="finished", asset=("sqlite", "finished"))
    for module in ("picture", "now"):
        monkeypatch.setattr(f"engagement_platform.console.serve.{module}.LOOPS", (*LOOPS, own))
    picture = picture_of(states.well().streams["engagement"], ENGLISH, time.time())
    assert picture.sinks == ("redis", "warehouse", "partner", "sqlite")
    page = still(states.well()).get("/", headers=HTML).text
    assert "<strong>Sqlite</strong>" in page
    assert 'class="flow of-4"' in page


POINTS = st.lists(
    st.builds(
        lambda at, value: Point(at, {}, {"tally": value / 2}, {"tally": value}),
        st.floats(996_000, 1_000_010),
        st.floats(0, 1e6),
    ),
    max_size=60,
)


@given(POINTS, st.sampled_from([None, 5.0]))
def test_a_plot_stays_within_its_frame(points: list[Point], promise: float | None) -> None:
    plot = latency_plot(sorted(points, key=lambda one: one.at), "tally", promise, ENGLISH, end=1_000_000, span=3_600)
    for path in (plot.median, plot.high, plot.area):
        for x, y in re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", path):
            assert plot.left <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT
    if promise:
        assert plot.promise is not None
        assert plot.top <= plot.promise.at <= plot.bottom
    assert len(plot.levels) >= 2


def test_where_nothing_was_measured_the_line_is_broken() -> None:
    points = [Point(at, {}, {"tally": 0.02}, {"tally": 0.05}) for at in [*range(0, 600, 5), *range(1_800, 2_400, 5)]]
    plot = latency_plot(points, "tally", 5.0, ENGLISH, end=2_400, span=3_600)
    assert plot.median.count("M") == 2


def test_a_spike_is_not_lost_where_many_points_fall_into_one_column() -> None:
    points = [Point(at, {}, {"tally": 0.02}, {"tally": 0.05}) for at in range(3_600)]
    points[1_800] = Point(1_800, {}, {"tally": 0.02}, {"tally": 9.0})
    plot = latency_plot(points, "tally", 5.0, ENGLISH, end=3_600, span=3_600)
    highest = min(float(y) for _, y in re.findall(r"[ML]([\d.]+),([\d.]+)", plot.high))
    assert plot.promise is not None
    assert highest < plot.promise.at, "above the promise"


def test_the_first_bar_is_the_longest_and_the_others_are_to_scale() -> None:
    (stream,) = states.well().streams.values()
    bars = now.ranking_of(stream, ENGLISH)["bars"]
    assert isinstance(bars, tuple)
    assert bars[0].share == 100
    assert [bar.share for bar in bars] == sorted((bar.share for bar in bars), reverse=True)
    assert bars[0].name == states.TITLES[0]


def test_a_hand_over_is_planned_or_not() -> None:
    shown = now.hand_overs_of(states.leases(datetime.now(UTC)))
    assert [one.is_planned for one in shown] == [True, True, False, True, True]
    assert [one.epoch for one in shown] == [42, 41, 40, 39, 38]


def test_what_servers_and_people_say_is_text_and_no_markup(still: Still) -> None:
    evil = "<script>alert(1)</script>"
    told = {name: states.streams(name) for name in NAMES}
    told["forward"] = states.stands("waits", evil, evil)
    sample = states.sample(states.status(told))
    ranked = replace(states.ranking(), rows=(replace(states.ranking().rows[0], shown={"title": evil}, member=evil),))
    sample = states.sample_of({"engagement": replace(sample.streams["engagement"], ranking=ranked)})
    page = still(sample).get("/", headers=HTML).text
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page


def test_no_secret_is_on_the_page(still: Still) -> None:
    secret = "hunter2-hunter2"
    settings = NOWHERE.replace(
        source_dsn=f"postgresql://me:{secret}@127.0.0.1:1/media", redis_url=f"redis://:{secret}@127.0.0.1:1/0",
        platform_dsn=f"postgresql://me:{secret}@127.0.0.1:1/platform", api_url=f"http://me:{secret}@127.0.0.1:1/x",
    )  # fmt: skip
    for make in states.STATES.values():
        stream = replace(make().streams["engagement"], settings=settings)
        assert secret not in still(states.sample_of({"engagement": stream})).get("/", headers=HTML).text


def test_a_stream_that_there_is_not_is_an_error_for_a_person(still: Still) -> None:
    answer = still(states.well()).get("/?stream=orders", headers=HTML)
    assert answer.status_code == 404
    assert "There is no stream orders" in answer.text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("See engagement-platform doctor: it looks.", ["engagement-platform doctor"]),
        ("When it may go on: engagement-platform resume stage", ["engagement-platform resume stage"]),
        ("engagement-platform resume --stream orders stage.", ["engagement-platform resume --stream orders stage"]),
        ("With: engagement-platform dead-letters list; then", ["engagement-platform dead-letters list"]),
        ("Set ENGAGEMENT_API_TOKEN, or leave", ["ENGAGEMENT_API_TOKEN"]),
        ("Let the owner run: GRANT SELECT ON a, b TO c", ["GRANT SELECT ON a, b TO c"]),
        ("<b>nothing</b>", []),
    ],
)
def test_commands_and_variables_stand_as_code(text: str, code: list[str]) -> None:
    shown = str(with_code(text))
    assert re.findall(r'<code dir="ltr">(.*?)</code>', shown) == code
    assert re.sub(r"</?code[^>]*>", "", shown) == str(escape(text))
