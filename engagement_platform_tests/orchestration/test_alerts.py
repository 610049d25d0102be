"""The sensor that tells people: each kind of condition is told once when it begins and once when it is over."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._daemon.types import DaemonHeartbeat
from pydantic import SecretStr

from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.definitions import definitions, shared
from engagement_platform.domain.alerts import BEGINS_AFTER, ENDS_AFTER, LOOKED_AWAY
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.errors import Refused
from engagement_platform.domain.judgement.partner import PARTNER
from engagement_platform.domain.latency import ENOUGH_EVENTS, Histogram, to_object
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.health.alerts import note
from engagement_platform.health.read import Status
from engagement_platform.orchestration import alerts
from engagement_platform.orchestration.alerts import Look, tick
from engagement_platform.orchestration.dagster_facts import watched_of
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.settings import Settings, variable
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.alert_receiver import AlertReceiver
from engagement_platform_tests.dead_letters.support import bury, letter
from engagement_platform_tests.health.support import let_time_pass, sql
from engagement_platform_tests.orchestration.test_dagster_facts import backfill, fail, succeed
from engagement_platform_tests.streams import PACKAGED

STREAMS = {"state": {"kind": "streams", "since": 0}}
SPAN = max(ENDS_AFTER, *BEGINS_AFTER.values()) + 20
"""Within it everything is told."""


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, receiver: AlertReceiver) -> Settings:
    return settings.replace(alert_url=SecretStr(receiver.url))


@pytest.fixture
def instance(kept_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    beat_daemons(kept_instance, time.time() + 3_600)
    return kept_instance


def beat_daemons(instance: dg.DagsterInstance, at: float) -> None:
    for name in instance.get_daemon_statuses():
        instance.add_daemon_heartbeat(DaemonHeartbeat(at, name, "a"))


class Sensor:
    """The sensor of one code server, which remembers its cursor. Each look reads everything."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self._instance, self._settings = instance, settings
        self._watched = watched_of([PACKAGED], shared([PACKAGED]))
        self._look = Look(lambda: self._watched)
        self.cursor: str | None = None
        self.beats: Mapping[str, Mapping[str, Any]] = dict.fromkeys(NAMES, STREAMS)

    def look(self) -> str:
        self._beat()
        self._look._slow_at = None
        context = dg.build_sensor_context(instance=self._instance, cursor=self.cursor)
        said = tick(context, self._look)
        self.cursor = context.cursor
        return said

    def look_for(self, seconds: float) -> None:
        """Look for as long as that, at the beginning, in the middle and at the end."""
        self.look()
        for _ in range(2):
            let_time_pass(self._settings, seconds / 2)
            self.look()

    def restart(self) -> None:
        self._look = Look(lambda: self._watched)

    def _beat(self) -> None:
        if self.beats:
            with Leases.opened(self._settings, "test") as leases:
                for loop in NAMES:
                    awaits = leases.register("abc", loop)
                leases.claim("abc", awaits, 600, NAMES)
                for loop, told in self.beats.items():
                    leases.beat("abc", loop, awaits, told)


@pytest.fixture
def sensor(instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Sensor:
    for name, value in settings.given().items():
        monkeypatch.setenv(
            variable(name), value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        )
    return Sensor(instance, settings)


class World:
    """What the changes of a test act on."""

    def __init__(self, sensor: Sensor, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.sensor, self.instance, self.settings = sensor, instance, settings

    def loop(self, name: str, **told: Any) -> None:
        self.sensor.beats = {**dict.fromkeys(NAMES, STREAMS), name: {**STREAMS, **told}}

    def well(self) -> None:
        self.sensor.beats = dict.fromkeys(NAMES, STREAMS)


def state(kind: str, subject: str = "", reason: str = "It is so") -> dict[str, Any]:
    return {"kind": kind, "since": time.time() - 30, "subject": subject, "reason": reason, "remedy": "Do this."}


def late() -> Any:
    latencies = Histogram()
    latencies.add(60.0, ENOUGH_EVENTS)
    return to_object(latencies.present())


def nobody(world: World) -> None:
    world.sensor.beats = {}
    sql(world.settings, "UPDATE engagement_platform.stream_lease SET released_at = now()")


def somebody(world: World) -> None:
    sql(world.settings, "UPDATE engagement_platform.stream_lease SET released_at = NULL")
    world.well()


def pause(world: World) -> None:
    with Pauses.opened(world.settings, "test") as pauses:
        pauses.pause("stage", "me", "")


def resume(world: World) -> None:
    with Pauses.opened(world.settings, "test") as pauses:
        pauses.resume("stage", "me")


def discard(world: World) -> None:
    redrive(world.settings.replace(api_url=world.settings.redis.url), Chosen(event_ids=[1]), "", "")


def evaluate(world: World, *, passed: bool) -> None:
    world.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=events_key(PACKAGED), check_name="days_known", passed=passed, metadata={})
    )


def backfill_ends(world: World) -> None:
    (failed,) = world.instance.get_backfills()
    world.instance.update_backfill(failed._replace(status=BulkActionStatus.COMPLETED_SUCCESS))


Change = Callable[[World], object]
CASES: dict[Kind, tuple[Change, Change]] = {
    Kind.NOBODY_STREAMS: (nobody, somebody),
    Kind.LOOP_STANDS_STILL: (lambda w: w.loop("tally", state=state("waits", "Redis at h:1")), World.well),
    Kind.BREAKER_OPEN: (
        lambda w: w.loop("forward", breaker="open", lag=7, state=state("waits", PARTNER, "status 503")),
        World.well,
    ),
    Kind.SATURATED: (lambda w: w.loop("tally", behind=8.0, done=1.0, state=state("saturated", "Redis")), World.well),
    Kind.BEHIND: (lambda w: w.loop("stage", recent_latency=late()), World.well),
    Kind.LOOP_PAUSED: (pause, resume),
    Kind.DEAD_LETTERS: (lambda w: bury(w.settings, [letter(1)]), discard),
    Kind.CHECK_FAILED: (lambda w: evaluate(w, passed=False), lambda w: evaluate(w, passed=True)),
    Kind.RUN_FAILED: (lambda w: fail(w.instance, "2026-01-01"), lambda w: succeed(w.instance, "2026-01-01")),
    Kind.BACKFILL_FAILED: (
        lambda w: backfill(w.instance, "abc", BulkActionStatus.COMPLETED_FAILED, time.time() - 60),
        backfill_ends,
    ),
    Kind.DAEMON_SILENT: (
        lambda w: beat_daemons(w.instance, time.time() - 3_600),
        lambda w: beat_daemons(w.instance, time.time() + 3_600),
    ),
}


def test_each_kind_has_a_case_here_or_one_of_its_own() -> None:
    assert set(Kind) - set(CASES) == {Kind.UNREADABLE, Kind.DAGSTER_UNREADABLE}


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_is_told_once_when_it_begins_and_once_when_it_is_over(
    sensor: Sensor, instance: dg.DagsterInstance, settings: Settings, receiver: AlertReceiver, kind: Kind
) -> None:
    begin, end = CASES[kind]
    world = World(sensor, instance, settings)
    sensor.look_for(SPAN)
    assert not receiver.taken, "all is well"
    begin(world)
    sensor.look_for(SPAN)
    sensor.restart()
    sensor.look()
    assert [told[:2] for told in receiver.told] == [("began", kind.value)]
    end(world)
    sensor.look_for(SPAN)
    sensor.look()
    assert [told[:2] for told in receiver.told] == [("began", kind.value), ("over", kind.value)]
    data = receiver.taken[0].body["data"]
    assert all(data[name] for name in ("what", "means", "todo", "since", "severity"))


def test_a_receiver_that_is_down_gets_all_of_it_later_and_the_sensor_says_so(
    sensor: Sensor, instance: dg.DagsterInstance, settings: Settings, receiver: AlertReceiver
) -> None:
    receiver.answers(404, b"no_service")
    pause(World(sensor, instance, settings))
    assert "1 alerts wait for the webhook" in sensor.look()
    assert "status 404: there is nothing at this address: no_service" in sensor.look()
    receiver.answers(200)
    let_time_pass(settings, 60)
    assert "1 alerts delivered" in sensor.look()
    assert receiver.told == [("began", "loop_paused", "stage")]


def test_a_stream_whose_folder_is_broken_is_told(
    sensor: Sensor, settings: Settings, receiver: AlertReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "stream.toml").write_text('name = "orders"\nsource = 7')
    monkeypatch.setenv("ENGAGEMENT_STREAMS", str(folder))
    sensor.look_for(SPAN)
    (told,) = receiver.taken
    assert told.told[:2] == ("began", "unreadable")
    assert told.body["data"]["stream"] == "orders"
    monkeypatch.delenv("ENGAGEMENT_STREAMS")
    sensor.look_for(SPAN)
    assert [one.told[0] for one in receiver.taken] == ["began", "over"]


def test_what_was_wrong_with_a_stream_is_over_once_the_stream_is_gone(
    sensor: Sensor, settings: Settings, receiver: AlertReceiver
) -> None:
    """Nobody reads its letters any more."""
    of_gone, of_ours = (
        Condition(Kind.DEAD_LETTERS, Severity.WARNING, stream, "partner", time.time(), "3 letters wait.")
        for stream in ("gone", PACKAGED.name)
    )
    look = Look(lambda: sensor._watched)
    assert look.sees(of_gone)
    assert not look.sees(of_ours), "its letters have not been read"
    with Alerts.opened(settings, "test") as kept:
        note(kept, [of_gone], look.sees)
    sensor.look()
    sensor.look_for(SPAN)
    assert receiver.told == [("began", "dead_letters", "partner"), ("over", "dead_letters", "partner")]


def test_a_stream_whose_schema_could_not_be_made_gets_it_later(
    sensor: Sensor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(one: Settings) -> None:
        if one.stream == "orders":
            raise Refused("The platform database refuses a right.", "GRANT it.")
        ensure_schema(one)

    monkeypatch.setattr(alerts, "streams", lambda: dict.fromkeys(("engagement", "orders"), PACKAGED))
    monkeypatch.setattr(alerts, "load", lambda name: settings.replace(stream=name))
    with monkeypatch.context() as refusing:
        refusing.setattr(alerts, "ensure_schema", refused)
        sensor.look()
        statuses = sensor._look.statuses()
    assert isinstance(statuses["engagement"], Status)
    assert isinstance(statuses["orders"], Refused)
    sensor.look()
    assert isinstance(sensor._look.statuses()["orders"], Status)


def test_that_the_platform_database_is_away_is_told_once_and_kept_by_dagster(
    sensor: Sensor, settings: Settings, receiver: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a Dagster whose storage is another database: else Dagster itself is away."""
    sensor.look()
    with monkeypatch.context() as away, monkeypatch.context() as clock:
        away.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/away")
        sensor.beats = {}
        now = time.time()
        for seconds in range(0, 60, 10):
            clock.setattr(time, "time", lambda later=seconds: now + later)
            said = sensor.look()
            if seconds == 30:
                sensor.restart()
        assert "does not answer" in said
        assert receiver.told == [("began", "unreadable", "")]
        assert "ENGAGEMENT_PLATFORM_DSN" in receiver.taken[0].body["data"]["todo"]
        away.undo()
        for seconds in range(60, 60 + int(SPAN), 10):
            clock.setattr(time, "time", lambda later=seconds: now + later)
            sensor.look()
    assert [(state, kind) for state, kind, _ in receiver.told if kind == "unreadable"] == [
        ("began", "unreadable"),
        ("over", "unreadable"),
    ]
    monkeypatch.setattr(time, "time", lambda: now + 7_200)
    sensor.look()
    assert not sensor.cursor, "it is forgotten"


def test_a_kafka_that_hangs_delays_no_look_for_long_and_every_stream_has_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"s{number}" for number in range(12)]
    clock = SimpleNamespace(now=0.0)
    read: list[str] = []

    def hangs(_: Look, name: str) -> str:
        clock.now += 10.0
        read.append(name)
        return "Kafka does not answer."

    monkeypatch.setattr(alerts, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(alerts, "streams", lambda: dict.fromkeys(names, PACKAGED))
    monkeypatch.setattr(Look, "_letters", hangs)
    monkeypatch.setattr(Look, "_dagster", lambda *_: ())
    look = Look(lambda: pytest.fail("nobody asks"))
    look.letters = dict.fromkeys(names, LetterCounts())
    for number in range(len(names)):
        before = clock.now
        look.read_slow(dg.DagsterInstance.ephemeral())
        look.read_slow(dg.DagsterInstance.ephemeral())
        assert clock.now - before <= LOOKED_AWAY / 3
        assert [name for name in names if isinstance(look.letters[name], LetterCounts)] == names[number + 1 :]
        clock.now += alerts.SLOW_SECONDS
    assert read == names


def test_a_look_while_another_is_at_work_does_nothing(sensor: Sensor, receiver: AlertReceiver) -> None:
    with sensor._look.lock:
        assert sensor.look() == "The look before has not ended."
    assert sensor.look() == "All is well."


def test_without_a_webhook_nothing_is_read_and_the_sensor_is_off(
    sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENGAGEMENT_ALERT_URL")
    sensor.beats = {}
    assert sensor.look() == "ENGAGEMENT_ALERT_URL is not set: nobody is told."
    made = definitions.get_sensor_def(alerts.NAME)
    assert made.default_status is dg.DefaultSensorStatus.STOPPED
    monkeypatch.setenv("ENGAGEMENT_ALERT_URL", "http://127.0.0.1:1/")
    running = alerts.tell_what_is_wrong_of(lambda: sensor._watched)
    assert running.default_status is dg.DefaultSensorStatus.RUNNING


def test_a_signing_key_that_cannot_be_used_is_said_and_nothing_is_lost(
    sensor: Sensor,
    instance: dg.DagsterInstance,
    settings: Settings,
    receiver: AlertReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGAGEMENT_ALERT_SIGNING_KEY", "nonsense")
    pause(World(sensor, instance, settings))
    for _ in range(2):
        said = sensor.look()
        assert said.startswith("1 thing wrong. 1 alerts wait for the webhook: ")
        assert "ENGAGEMENT_ALERT_SIGNING_KEY" in said
    assert not receiver.asked
    assert not sensor.cursor, "nothing is away"
    monkeypatch.delenv("ENGAGEMENT_ALERT_SIGNING_KEY")
    sensor.look()
    assert receiver.told == [("began", "loop_paused", "stage")]


def test_settings_that_cannot_be_used_are_told_too(
    sensor: Sensor, receiver: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "nonsense")
    sensor.beats = {}
    now = time.time()
    for seconds in range(0, 40, 10):
        monkeypatch.setattr(time, "time", lambda later=seconds: now + later)
        sensor.look()
    assert receiver.told == [("began", "unreadable", "")]
    assert "ENGAGEMENT_SOURCE_DSN" in receiver.taken[0].body["data"]["what"]
