"""Pauses: of loops that note what they are told, and of the real ones."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.leases import alive
from engagement_platform.domain.loop_state import Activity
from engagement_platform.local.receiver import Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream import lag
from engagement_platform.stream import pauses as module
from engagement_platform.stream.control import Control, Standalone
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.lease import hold_lease
from engagement_platform.stream.pauses import run_pausable
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.adapters.kafka.topic import Topic, event
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.forward.support import publish, received
from engagement_platform_tests.stream.tally.support import assert_exact, becomes_exact
from engagement_platform_tests.streaming import drain, running, wait_for
from engagement_platform_tests.warehouse import table_ids, write

pytestmark = pytest.mark.servers


@pytest.fixture
def pauses(settings: Settings) -> Iterator[Pauses]:
    ensure_schema(settings)
    with Pauses.opened(settings, "test") as made:
        yield made


@pytest.fixture
def topic(settings: Settings) -> Iterator[Topic]:
    with closing(Topic(settings)) as made:
        yield made


@pytest.fixture
def views(settings: Settings) -> Iterator[Views]:
    with closing(Views.connect(settings)) as made:
        yield made


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(lag, "COUNT_SECONDS", 0.2)


class Noting:
    """A loop that notes its begins and ends, and waits for long when it waits."""

    def __init__(self) -> None:
        self.begins = 0
        self.ends = 0

    def __call__(self, settings: Settings, control: Control) -> None:
        self.begins += 1
        control.claim()
        while not control.wait(60):
            pass
        self.ends += 1

    @property
    def runs(self) -> bool:
        return self.begins == self.ends + 1


def pausable(loop: Callable[[Settings, Control], None], name: str = "tally") -> Callable[[Settings, Control], None]:
    def run(settings: Settings, control: Control) -> None:
        run_pausable(loop, settings, control, name)

    return run


def is_paused(control: Standalone) -> bool:
    return control.progress.state.kind is Activity.PAUSED


def test_a_pause_ends_the_loop_and_a_resume_begins_it_again(settings: Settings, pauses: Pauses) -> None:
    loop = Noting()
    with running(pausable(loop), settings) as control:
        wait_for(lambda: loop.runs, "the loop to begin")
        assert pauses.pause("tally", "me@here", "Redis moves")
        assert not pauses.pause("tally", "another", "")
        wait_for(lambda: is_paused(control), "the pause", 2)
        assert loop.ends == 1
        assert control.progress.state.reason.endswith(" UTC by me@here: Redis moves")
        assert pauses.resume("tally", "me@here")
        assert not pauses.resume("tally", "me@here")
        wait_for(lambda: loop.begins == 2, "the loop to go on", 2)
        assert not is_paused(control)
    assert loop.ends == 2


def test_what_waits_for_a_paused_loop_is_unknown_while_a_server_is_away_and_nothing_is_delayed(
    settings: Settings, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def away(*_: object) -> int:
        answers.wait(20)
        raise Unavailable("Kafka does not answer.", server="Kafka")

    monkeypatch.setattr(tally, "backlog", away)
    pauses.pause("tally", "", "")
    loop = Noting()
    with running(pausable(loop), settings) as control:
        control.progress.lag = 7
        wait_for(lambda: is_paused(control), "the pause")
        pauses.resume("tally", "")
        wait_for(lambda: loop.runs, "the loop to go on although Kafka has not answered", 5)
        pauses.pause("tally", "", "")
        wait_for(lambda: is_paused(control), "the pause")
        answers.set()
        wait_for(lambda: control.progress.lag is None, "the lag to be unknown")


def test_the_others_run_on(settings: Settings, pauses: Pauses) -> None:
    paused, other = Noting(), Noting()
    pauses.pause("forward", "", "")
    with running(pausable(paused, "forward"), settings) as control, running(pausable(other, "stage"), settings):
        wait_for(lambda: is_paused(control) and other.runs, "one to stand still and one to run")
        assert paused.begins == 0


def test_a_paused_loop_ends_when_it_is_told_to(settings: Settings, pauses: Pauses) -> None:
    pauses.pause("tally", "", "")
    loop = Noting()
    with running(pausable(loop), settings) as control:
        wait_for(lambda: is_paused(control), "the pause")
    assert loop.begins == 0


def test_a_drain_ends_at_once_and_says_why(
    settings: Settings, pauses: Pauses, topic: Topic, views: Views, caplog: pytest.LogCaptureFixture
) -> None:
    sent = topic.send(event(n) for n in range(5))
    pauses.pause("tally", "me@here", "")
    with caplog.at_level(logging.INFO):
        drain(pausable(tally.run), settings)
    assert "tally is paused since" in caplog.text
    assert views.as_of() is None
    pauses.resume("tally", "")
    assert drain(pausable(tally.run), settings).progress.events == 5
    assert_exact(views, sent, settings)


def test_nothing_is_counted_while_the_tally_is_paused_and_everything_after(
    settings: Settings, pauses: Pauses, topic: Topic, views: Views
) -> None:
    sent = topic.send(event(n) for n in range(100))
    with running(pausable(tally.run), settings) as control:
        becomes_exact(views, sent, settings)
        pauses.pause("tally", "", "")
        wait_for(lambda: is_paused(control), "the pause")
        before = views.snapshot()
        missing = topic.send(event(n) for n in range(100, 300))
        wait_for(lambda: (control.progress.lag or 0) >= 200, "them to be told as waiting")
        assert views.snapshot().as_of_ms == before.as_of_ms
        assert_exact(views, sent, settings)
        pauses.resume("tally", "")
        becomes_exact(views, sent + missing, settings)
        assert control.progress.events == 300


def test_nothing_is_loaded_while_the_stage_is_paused_and_everything_after(
    settings: Settings, pauses: Pauses, source_db: SourceDatabase
) -> None:
    quick = settings.replace(stage_seconds=0.1)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        ids = write(writer, 3)
        drain(relay.run, quick)
        with running(pausable(stage.run, "stage"), quick) as control:
            wait_for(lambda: table_ids(quick) == ids, "the first batch")
            pauses.pause("stage", "", "")
            wait_for(lambda: is_paused(control), "the pause")
            missing = write(writer, 4)
            drain(relay.run, quick)
            wait_for(lambda: (control.progress.lag or 0) >= 4, "them to be told as waiting")
            assert table_ids(quick) == ids
            pauses.resume("stage", "")
            wait_for(lambda: table_ids(quick) == ids + missing, "the rest, once each")


def test_without_the_database_what_was_known_last_holds_on(
    settings: Settings, pauses: Pauses, stack: Endpoints, platform_db: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "engagement_platform.pauses")
    paused, other = Noting(), Noting()
    pauses.pause("forward", "", "")
    name = platform_db.rpartition("/")[2]
    allowing = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with running(pausable(paused, "forward"), settings) as control, running(pausable(other, "stage"), settings):
        wait_for(lambda: is_paused(control) and other.runs, "one to stand still and one to run")
        with psycopg.connect(stack.admin_dsn, autocommit=True) as admin:
            admin.execute(allowing.format(sql.Identifier(name), sql.SQL("false")))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            wait_for(lambda: caplog.text.count("Waiting for it") == 2, "both to look in vain")
            assert (paused.begins, other.runs, is_paused(control)) == (0, True, True)
            admin.execute(allowing.format(sql.Identifier(name), sql.SQL("true")))
        wait_for(lambda: caplog.text.count("answers again") == 2, "both to see again")
        assert (paused.begins, other.runs, is_paused(control)) == (0, True, True)
        with Pauses.opened(settings, "test") as again:
            again.resume("forward", "")
        wait_for(lambda: paused.runs, "the paused one to begin")


def test_a_paused_loop_claims_and_its_heart_beats(settings: Settings, pauses: Pauses) -> None:
    """Else the lease would take its run for dead, and no successor would get all of its loops."""
    pauses.pause("tally", "", "")
    loop = Noting()
    with Leases.opened(settings, "test") as leases:
        thread = threading.Thread(target=lambda: _held(loop, settings))
        thread.start()
        wait_for(lambda: leases.snapshot().lease is not None, "the claim")
        first = leases.snapshot().of("run")["tally"].heartbeat_at
        wait_for(lambda: leases.snapshot().of("run")["tally"].heartbeat_at > first, "a beat")
        assert alive(leases.snapshot())

        def reasons() -> list[str]:
            with leases.session.connected() as connection:
                statement = "SELECT progress->'state'->>'reason' FROM engagement_platform.stream_loop"
                return [row[0] for row in connection.execute(statement)]

        wait_for(lambda: [reason.startswith("since ") for reason in reasons()] == [True], "the pause's state")
        leases.claim("next", leases.register("next", "tally"), 60, ["tally"])
        thread.join(10)
        assert not thread.is_alive()
    assert loop.begins == 0


def _held(loop: Noting, settings: Settings) -> None:
    with hold_lease(settings, run_id="run", loop="tally", loops=["tally"], lease_seconds=60) as control:
        run_pausable(loop, settings, control, "tally")


def test_nothing_is_delivered_while_forward_is_paused_and_everything_once_after(
    settings: Settings, pauses: Pauses
) -> None:
    with Receiver() as receiver:
        ours = settings.replace(api_url=SecretStr(receiver.url), forward_group=f"forward-{settings.topics.events}")
        publish(ours, range(50))
        with running(pausable(forward.run, "forward"), ours) as control:
            wait_for(lambda: received(receiver) == set(range(50)), "the first")
            pauses.pause("forward", "", "")
            wait_for(lambda: is_paused(control), "the pause")
            publish(ours, range(50, 120))
            wait_for(lambda: control.progress.lag == 70, "them to be told as waiting")
            assert len(receiver.deliveries) == 50
            pauses.resume("forward", "")
            wait_for(lambda: received(receiver) == set(range(120)), "the rest")
        assert len(receiver.deliveries) == 120
