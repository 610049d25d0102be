"""The platform under exactly the rights of `deploy/rights`: they are enough, and each of them is needed and named."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import dagster as dg
import psycopg
import pytest
import redis
from click.testing import CliRunner
from pydantic import SecretStr
from starlette.testclient import TestClient

from engagement_platform import cli
from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message, open_producer, transactional_id
from engagement_platform.adapters.kafka.topics import admin, ensure_topics, topic_configuration
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rights import read_rights
from engagement_platform.adapters.redis.refusals import rights
from engagement_platform.console.doctor import examine_stream
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.sampler import Sampler
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.errors import Refused
from engagement_platform.health.read import read_each
from engagement_platform.health.trace import trace
from engagement_platform.history.erase import days_of_user, remains
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.reconcile import reconcile_days
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.orchestration.instance import configuration
from engagement_platform.settings import Settings, variable
from engagement_platform.stream.lease import LeaseControl
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.adapters.kafka.hung import leave_open
from engagement_platform_tests.rights.world import (
    FILES,
    PASSWORD,
    World,
    without,
    without_acl,
    world_of,
)
from engagement_platform_tests.streaming import INSERT, drain, lease_run, wait_for
from engagement_platform_tests.warehouse import DAY, table_ids, write

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def world(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The platform's tables are made by their owner, as a newcomer is told to; then four loops bring three events."""
    with world_of(stack, tmp_path_factory.mktemp("rights")) as made, pytest.MonkeyPatch.context() as patch:
        home = made.settings.state_dir / "home"
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text(configuration(home / "dagster"))
        patch.setenv("DAGSTER_HOME", str(home))
        use(made.owner, patch)
        done = CliRunner().invoke(cli.group, ["migrate"])
        assert done.exit_code == 0, done.output
        assert "Dagster" in done.output
        use(made.settings, patch)
        yield made


def use(settings: Settings, patch: pytest.MonkeyPatch) -> None:
    """Let commands have these settings."""
    for name, value in settings.given().items():
        patch.setenv(variable(name), value.get_secret_value() if isinstance(value, SecretStr) else str(value))


@pytest.fixture(scope="module")
def partner() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def streamed(world: World, partner: Receiver) -> Iterator[Settings]:
    """Settings of a stream that has run: three events of an old day, two of now; the partner refused one."""
    partner.behave(Behaviour(poison=frozenset({"engagement-event-2"})))
    ours = world.settings.replace(api_url=SecretStr(partner.url), stage_seconds=0.5)
    with psycopg.connect(world.source_admin, autocommit=True) as writer:
        write(writer, 3)
        writer.execute(INSERT, {"n": 2, "content": None})
    with lease_run(ours) as controls:
        for name, control in controls.items():
            wait_for(partial(has_done, control, 5), f"five events at {name}")
    partner.behave(Behaviour())
    with pytest.MonkeyPatch.context() as patch:
        use(ours, patch)
        yield ours


def has_done(control: LeaseControl, events: int) -> bool:
    return control.progress.events >= events


def test_the_rights_are_enough_for_the_stream(streamed: Settings, partner: Receiver) -> None:
    assert sorted(table_ids(streamed)) == [1, 2, 3, 4, 5]
    assert {one.key for one in partner.deliveries} == {f"engagement-event-{number}" for number in (1, 3, 4, 5)}
    with dead_letters_of(streamed) as letters:
        assert [letter.content.event_id for letter in letters.chosen(Chosen())] == [2]


def test_the_rights_are_enough_to_end_what_kafka_has_lost_the_end_of(streamed: Settings, world: World) -> None:
    all_may = streamed.replace(kafka_bootstrap_servers=world.brokers, kafka_security_protocol="PLAINTEXT").kafka
    topic = streamed.topics.events
    leave_open(all_may, transactional_id(streamed), [(0, Message(topic, None, b'{"id": 1000000}'))])
    drain(relay.run, streamed)
    with admin(streamed.kafka) as client:
        assert client.left_open([topic]) == {}


def test_the_rights_are_enough_for_days_of_the_past(streamed: Settings, world: World) -> None:
    (rebuilt,) = rebuild_days(streamed, [DAY], "rights")
    assert rebuilt.rows == 3
    (findings,) = reconcile_days(streamed, [DAY])
    assert (findings.missing.count, findings.different.count) == (0, 0)
    assert days_of_user(streamed, "00000000-0000-4000-8000-000000000000") == []
    assert len(remains(streamed, datetime.now(UTC))) > 3


def test_the_rights_are_enough_for_who_looks(streamed: Settings) -> None:
    faults = [finding for finding in examine_stream(streamed) if finding.level == "fault"]
    assert faults == []
    overview = read_each({streamed.stream: streamed})
    assert "refuses" not in str(overview)
    told = trace(streamed, 4)
    assert "Unread" not in repr(told)
    sampler = Sampler({streamed.stream: streamed})
    with TestClient(
        create_app(Site({streamed.stream: streamed}, sampler, Guard(None))), base_url="http://127.0.0.1"
    ) as page:
        for path in ("/", "/metrics", "/api/v1/status", "/api/v1/days", "/dead-letters", "/deliveries", "/event/4"):
            answer = page.get(path, headers={"accept": "text/html"})
            assert answer.status_code == 200, (path, answer.text)
            assert "refuses a right" not in answer.text
        wait_for(lambda: sampler.latest.streams[streamed.stream].ranking is not None, "the views")
        assert page.get("/api/v1/top?by=device").json()["members"]


@pytest.mark.parametrize(
    "command",
    [
        ["checkpoint", "show"],
        ["warehouse", "status"],
        ["dead-letters", "list"],
        ["dead-letters", "redrive", "--all", "--why", "the rights"],
        ["backfill", "--to", "replay-topic", "--ids", "1,2"],
        ["backfill", "--to", "api", "--ids", "1"],
        ["views", "rebuild"],
        ["trace", "3"],
        ["pause", "stage"],
        ["resume", "stage"],
    ],
    ids=" ".join,
)
def test_the_rights_are_enough_for_commands(streamed: Settings, command: list[str]) -> None:
    done = CliRunner().invoke(cli.group, command)
    assert done.exit_code == 0, (done.output, done.exception)


def test_the_rights_are_enough_for_dagster(world: World) -> None:
    """Its storage works for the role that runs, and that role makes no tables there."""

    @dg.asset
    def one() -> int:
        return 1

    with dg.DagsterInstance.get() as instance:
        assert dg.materialize([one], instance=instance).success
        (record,) = instance.fetch_materializations(one.key, limit=5).records
        assert record.asset_key == one.key
    with psycopg.connect(world.settings.platform.dsn.get_secret_value()) as running:
        for statement in ("CREATE TABLE mine (id int)", "TRUNCATE engagement_platform.audit", "CREATE SCHEMA mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), running.transaction():
                running.execute(statement.encode())


def refused(act: Callable[[], object], *named: str) -> None:
    """Hold that something is refused, in words that name the right, and no secret."""
    with pytest.raises(Refused) as error:
        act()
    said = f"{error.value} {error.value.todo}"
    assert all(name in said for name in named), said
    assert PASSWORD not in said


SOURCE_RIGHTS = {
    "SELECT ON content": ("SELECT", "content"),
    "SELECT ON engagement_events": ("SELECT", "engagement_events"),
    "USAGE ON SCHEMA public": ("USAGE", "public"),
}


@pytest.mark.parametrize("right", SOURCE_RIGHTS)
def test_each_right_at_the_source_is_needed_and_named(world: World, right: str) -> None:
    role = world.roles["engagement_reader"]
    assert f"GRANT {right.partition(' ')[0]} ON" in (FILES / "source.sql").read_text()
    # Everybody may use the schema public, unless that is taken away, as it is here.
    others = ", PUBLIC" if right.startswith("USAGE") else ""
    with without(world.source_admin, f"REVOKE {right} FROM {role}{others}", f"GRANT {right} TO {role}"):
        refused(lambda: drain(relay.run, world.settings), *SOURCE_RIGHTS[right])


def test_the_right_of_the_sequence_is_missed_where_it_is_looked_for(world: World) -> None:
    role, right = world.roles["engagement_reader"], "SELECT ON SEQUENCE engagement_events_id_seq"
    with without(world.source_admin, f"REVOKE {right} FROM {role}", f"GRANT {right} TO {role}"):
        warned = [one for one in examine_stream(world.settings) if f"GRANT {right}" in f"{one.what} {one.todo}"]
    assert warned


PLATFORM_RIGHTS = (
    "USAGE ON SCHEMA engagement_platform",
    *(f"{verb} ON ALL TABLES IN SCHEMA engagement_platform" for verb in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    "USAGE ON ALL SEQUENCES IN SCHEMA engagement_platform",
)


@pytest.mark.parametrize("right", PLATFORM_RIGHTS)
def test_each_right_in_the_platforms_database_is_looked_for_and_named(world: World, right: str) -> None:
    role = world.roles["engagement_platform"]
    with without(world.platform_admin, f"REVOKE {right} FROM {role}", f"GRANT {right} TO {role}"):
        missing = "; ".join(statement for one in read_rights(world.settings) for statement in one.missing)
        faults = "; ".join(one.todo for one in examine_stream(world.settings) if one.level == "fault")
    assert "GRANT" in missing
    assert right.partition(" ")[0] in missing
    assert missing in faults
    assert not any(one.missing for one in read_rights(world.settings))


def test_a_version_that_the_owner_has_not_migrated_to_is_refused_with_what_to_run(world: World) -> None:
    older = "UPDATE engagement_platform.schema_version SET version_num = '{}'"
    with psycopg.connect(world.platform_admin) as admin:
        (version,) = admin.execute("SELECT version_num FROM engagement_platform.schema_version").fetchone() or ("",)
    with without(world.platform_admin, older.format("0001"), older.format(version)):
        refused(lambda: ensure_schema(world.settings), "engagement-platform migrate")


def acts_on_kafka(settings: Settings) -> Iterator[Callable[[], object]]:
    """What asks Kafka for each of its rights, without waiting long for any."""
    topics = settings.topics
    yield partial(ensure_topics, settings)
    for topic in (topics.events, topics.dead_letters, topics.replays):
        yield partial(topic_configuration, settings.kafka, topic)
    yield partial(checkpoint, settings)
    for topic in (topics.events, topics.checkpoint, topics.dead_letters):
        yield partial(produce, settings, topic)
    yield partial(send_all, settings.kafka, [Message(topics.replays, None, b"x")])
    for topic in (topics.events, topics.replays):
        yield partial(read, settings, topic)
    yield partial(group, settings)
    yield partial(letters, settings)


def checkpoint(settings: Settings) -> None:
    with open_checkpoints(settings) as topic:
        topic.last()


def produce(settings: Settings, topic: str) -> None:
    """Write something under a key that nobody reads."""
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        producer.commit([Message(topic, b"of a test", b"x")])


def read(settings: Settings, topic: str) -> None:
    with closing(TopicReader(settings.kafka, topic)) as reader:
        reader.seek(reader.beginning_offsets())
        reader.poll(200)


def group(settings: Settings) -> None:
    with closing(GroupReader(settings.kafka, settings.topics.events, settings.topics.forward_group)) as reader:
        reader.stored()


def letters(settings: Settings) -> None:
    with dead_letters_of(settings) as found:
        list(found.chosen(Chosen()))


@pytest.fixture(scope="module")
def apart(world: World) -> Iterator[World]:
    """The same Kafka, behind what streams: its topics are written to here as no stream does."""
    patch = pytest.MonkeyPatch()
    patch.setattr(connection, "BOOTSTRAP_MS", 2_000)
    patch.setattr(connection, "MAX_BLOCK_MS", 2_000)
    yield world
    patch.undo()


def test_each_right_in_kafka_is_needed_and_named(apart: World) -> None:
    """Last of all, since it writes what is no event."""
    for act in acts_on_kafka(apart.settings):
        act()
    unneeded = []
    for acl in apart.acls:
        with without_acl(apart, acl):
            said = first_refusal(apart.settings)
        if said is None:
            unneeded.append(acl)
        else:
            assert PASSWORD not in said
            assert acl.resource_pattern.resource_name in said, (acl, said)
            assert "docs/own-servers.md" in said
    assert unneeded == []


def first_refusal(settings: Settings) -> str | None:
    for act in acts_on_kafka(settings):
        try:
            act()
        except Refused as error:
            return f"{error.what} {error.todo}"
    return None


def test_the_file_of_users_of_redis_has_what_a_refusal_asks_for() -> None:
    (line,) = [line for line in (FILES / "redis.acl").read_text().splitlines() if line.startswith("user engagement ")]
    assert line == f"user engagement on >PASSWORD {rights('engagement')}"


def test_a_reader_of_the_views_reads_and_writes_nothing(streamed: Settings, world: World) -> None:
    drain(tally.run, streamed)
    with redis.Redis(port=world.redis.port, username="engagement_reader", password=PASSWORD) as reader:
        assert reader.zrevrange("{engagement}:view:device:count", 0, 1)
        for act in (
            lambda: reader.zadd("{engagement}:view:device:count", {"x": 1}),
            lambda: reader.get("another"),
            reader.flushall,
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                act()
