"""What is read: by itself, over the real servers, and still there while one of them is away."""

import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.console.serve import sampler as module
from engagement_platform.console.serve.sampler import Beat, Ranking, Sample, Sampler, StreamReader
from engagement_platform.dead_letters.list import DeadLetters
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.dead_letters import Chosen, DeadLetterState, Letter
from engagement_platform.domain.errors import EngagementError, SettingsError, Unavailable
from engagement_platform.domain.progress import DONE
from engagement_platform.health.read import Status
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.console.serve.conftest import NOWHERE
from engagement_platform_tests.dead_letters.support import bury, letter
from engagement_platform_tests.streaming import drain, insert, wait_for

Streams = dict[str, Settings | EngagementError]


@pytest.fixture
def streaming(settings: Settings) -> Iterator[Leases]:
    """Somebody streams, as far as the platform's database knows."""
    with Leases.opened(settings, "test") as leases:
        for loop in NAMES:
            awaits = leases.register("abc", loop)
        leases.claim("abc", awaits, 600, NAMES)
        state = {"kind": "streams", "since": time.time()}
        for loop in NAMES:
            leases.beat("abc", loop, awaits, {"events": 5, "done": 2.5, "lag": 0, "state": state})
        yield leases


def read(streams: Streams, until: str = "the sample") -> Sample:
    """Return the second sample of a sampler over these streams: what is read slowly is there by then, or not."""
    sampler = Sampler(streams)
    sampler.start()
    try:
        wait_for(lambda: all(one.ranking is not None for one in sampler.latest.streams.values()), until)
        return sampler.look()
    finally:
        sampler.stop()


def test_it_reads_how_each_stream_stands(settings: Settings, streaming: Leases) -> None:
    sample = read({"engagement": settings})
    stream = sample.streams["engagement"]
    assert isinstance(stream.status, Status)
    assert stream.status.loops.keys() == set(NAMES)
    assert stream.status.loops["tally"].figures.gauge(DONE) == 2.5
    assert sample.conditions == ()
    assert stream.points[-1].rate == dict.fromkeys(NAMES, 2.5)
    assert isinstance(stream.ranking, Ranking)
    assert (stream.ranking.dimension, stream.ranking.rows) == ("content", ())


def test_the_ranking_has_titles_and_is_what_redis_has(settings: Settings, streaming: Leases, source_db: object) -> None:
    import psycopg

    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:  # type: ignore[attr-defined]
        content = "0b1f7a52-3f0e-4c0a-9d21-6a9be1f5c0de"
        writer.execute(
            "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts)"
            " VALUES (%s, 'one', 'The title', 'podcast', 60, now())",
            [content],
        )
        insert(writer, 3, content)
    drain(relay.run, settings)
    drain(tally.run, settings)
    ranking = read({"engagement": settings}).streams["engagement"].ranking
    assert isinstance(ranking, Ranking)
    assert [(row.value, (row.shown or {})["title"]) for row in ranking.rows] == [(3, "The title")]


def test_a_database_that_is_away_is_said_and_comes_back(settings: Settings, streaming: Leases) -> None:
    gone = settings.replace(platform_dsn=SecretStr("postgresql://someone:secret@127.0.0.1:1/platform"))
    reader = StreamReader("engagement", settings)
    assert isinstance(reader.read(time.time()).status, Status)
    assert reader._session is not None
    reader._session.close()
    reader._session._settings = gone
    away = reader.read(time.time()).status
    assert isinstance(away, Unavailable)
    assert "secret" not in str(away)
    reader._session._settings = settings
    assert isinstance(reader.read(time.time()).status, Status)
    reader.close()


def test_what_is_wrong_has_the_time_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHED_SECONDS", 0.05)
    sampler = Sampler({"engagement": NOWHERE})
    begun = time.time()
    sampler.start()
    end = sampler.listen(lambda: None)
    wait_for(lambda: sampler.latest.number >= 3, "three samples")
    first, later = sampler.latest.conditions, wait_for(lambda: sampler.latest.number >= 5 and sampler.latest, "more")
    (condition,) = later.conditions
    assert condition.kind is Kind.UNREADABLE
    assert condition.since == first[0].since < begun + 10
    end()
    sampler.stop()


def test_a_dagster_that_cannot_be_read_is_said_and_nothing_is_wrong_without_one(
    settings: Settings, streaming: Leases
) -> None:
    sampler = Sampler({"engagement": settings})
    assert seen(sampler) == []
    sampler._dagster.latest = Unavailable("Dagster's storage does not answer.", "Start it.")
    (condition,) = seen(sampler)
    assert (condition.kind, condition.severity) == (Kind.DAGSTER_UNREADABLE, Severity.WARNING)
    sampler._dagster.latest = DagsterFacts(time.time() - 70)
    (later,) = seen(sampler)
    assert (later.key, later.since) == (condition.key, condition.since)
    assert isinstance(sampler.latest.dagster, Unavailable)
    sampler._dagster.latest = DagsterFacts(time.time())
    assert seen(sampler) == []
    sampler._readers[0].close()


def seen(sampler: Sampler) -> list[Condition]:
    """Return what is wrong by the next sample."""
    sampler._sample()
    return list(sampler.latest.conditions)


def test_letters_that_were_read_are_not_read_again(
    settings: Settings, streaming: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(settings, [letter(1)])
    read: list[int] = []
    original = DeadLetters.chosen

    def chosen(letters: DeadLetters, which: Chosen) -> Iterator[Letter]:
        read.append(1)
        return original(letters, which)

    monkeypatch.setattr(DeadLetters, "chosen", chosen)
    reader = StreamReader("engagement", settings)
    for _ in range(3):
        reader.read_slowly()
    assert not isinstance(reader.letters, str)
    assert (reader.letters.get(DeadLetterState.OPEN), len(read)) == (1, 1)
    bury(settings, [letter(2)])
    reader.read_slowly()
    assert (reader.letters.get(DeadLetterState.OPEN), len(read)) == (2, 2)
    reader.close()


def test_that_the_database_is_away_is_said_once_also_where_dagster_uses_it() -> None:
    sampler = Sampler({"engagement": NOWHERE})
    sampler._dagster.latest = Unavailable("Dagster's storage does not answer.", "Start it.")
    sampler._sample()
    assert [one.kind for one in sampler.latest.conditions] == [Kind.UNREADABLE]


def test_a_stream_whose_settings_cannot_be_used_is_shown_beside_the_others(
    settings: Settings, streaming: Leases
) -> None:
    broken = SettingsError("The folder cannot be used.", "Mend it.")
    sampler = Sampler({"engagement": settings, "orders": broken})
    sampler.start()
    sample = sampler.look()
    sampler.stop()
    assert isinstance(sample.streams["engagement"].status, Status)
    assert sample.streams["orders"].status is broken
    assert [(one.stream, one.kind) for one in sample.conditions] == [("orders", Kind.UNREADABLE)]


def test_a_server_that_hangs_holds_back_only_what_it_is_asked_for(
    settings: Settings, streaming: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(StreamReader, "read_views", lambda _: hangs.wait(30))
    monkeypatch.setattr(StreamReader, "read_slowly", lambda _: hangs.wait(30))
    monkeypatch.setattr(module, "WATCHED_SECONDS", 0.05)
    sampler = Sampler({"engagement": settings})
    sampler.start()
    end = sampler.listen(lambda: None)
    wait_for(lambda: sampler.latest.number >= 5, "samples all the same")
    assert isinstance(sampler.latest.streams["engagement"].status, Status)
    end()
    hangs.set()
    sampler.stop()


def test_for_a_database_that_hangs_is_waited_once_for_all_streams_and_the_thread_shows_that_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, float]] = []

    def away(reader: StreamReader) -> Unavailable:
        asked.append((reader.name, sampler.silent_seconds))
        time.sleep(0.05)
        return Unavailable("The platform database does not answer.")

    monkeypatch.setattr(StreamReader, "_status", away)
    broken = SettingsError("The folder cannot be used.")
    sampler = Sampler({**{f"stream{number}": NOWHERE for number in range(9)}, "broken": broken})
    begun = time.time()
    for seconds, streams in ((60.0, 10), (0.01, 2)):
        monkeypatch.setattr(module, "IN_VAIN_SECONDS", seconds)
        sampler._beat_at -= 100
        assert sampler.silent_seconds > 99
        asked.clear()
        sampler._sample()
        assert sampler.silent_seconds < 10
        assert len(asked) == streams
        assert max(silent for _, silent in asked) < 10, "each stream is a sign of life"
        assert all(isinstance(one.status, Unavailable) for one in sampler.latest.streams.values())
    assert begun <= sampler.latest.at < time.time() - 0.05, "it says nothing of what came while it was read"


def test_while_nobody_looks_it_reads_less_and_at_once_when_somebody_does() -> None:
    sampler = Sampler({"engagement": NOWHERE})
    assert sampler._pause() == module.IDLE_SECONDS
    sampler.start()
    number = sampler.latest.number
    sampler.look()
    assert sampler._pause() == module.WATCHED_SECONDS
    wait_for(lambda: sampler.latest.number > number, "a new sample", seconds=3)
    sampler.stop()


def test_work_that_fails_is_done_again(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def work() -> None:
        done.append(1)
        raise ZeroDivisionError

    beat = Beat("test", work, lambda: 0.01)
    beat.start()
    wait_for(lambda: len(done) > 2, "the third time")
    beat.stop()
    beat.join(5)
    assert "ZeroDivisionError" in caplog.text


def test_an_hour_of_figures_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StreamReader("engagement", NOWHERE)
    status = Status.__new__(Status)
    monkeypatch.setattr(reader, "_status", lambda: status)
    monkeypatch.setattr(module, "_point", lambda at, _: module.Point(at, {}, {}, {}))
    for second in range(0, 5_000, 10):
        stream = reader.read(1_000_000.0 + second)
    assert stream.points[0].at >= 1_000_000.0 + 4_990 - module.KEPT_SECONDS
    assert len(stream.points) == 361
    for second in range(4_000):
        stream = reader.read(1_000.5 + second)
    assert len(stream.points) == module.MOST_POINTS, "after the clock was set back, too"
    assert [one.at for one in stream.points] == sorted(one.at for one in stream.points)
    assert stream.points[-1].at == 4_999.5


def test_what_is_read_within_seconds_is_one_point_that_keeps_the_spike(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StreamReader("engagement", NOWHERE)
    monkeypatch.setattr(reader, "_status", lambda: Status.__new__(Status))
    spikes = {1_002.0: 9.0, 1_006.0: 0.04}

    def point(at: float, _: Status) -> module.Point:
        high = spikes.get(at, 0.05)
        return module.Point(
            at, {"tally": at}, {"tally": high / 5}, {"tally": high} | ({"relay": 1.0} if at < 1_003 else {})
        )

    monkeypatch.setattr(module, "_point", point)
    for second in range(8):
        stream = reader.read(1_000.0 + second)
    assert [(one.at, one.rate["tally"], one.p99) for one in stream.points] == [
        (1_004.0, 1_004.0, {"tally": 9.0}),
        (1_007.0, 1_007.0, {"tally": 0.05}),
    ], "a loop that has no latency any more has none in the point"
    assert stream.points[0].p50 == {"tally": 1.8}
