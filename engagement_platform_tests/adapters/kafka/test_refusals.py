"""A Kafka that refuses a login or a right says so, and what to do, and goes on once that was done."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from kafka import KafkaAdminClient, errors
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from pydantic import SecretStr

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.connection import unavailable
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics, topic_configuration
from engagement_platform.domain.errors import Refused
from engagement_platform.local import kafka
from engagement_platform.local.state import StackState
from engagement_platform.settings import Kafka, Settings

SECRET = "hunter2"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Guarded:
    """A broker with a listener for everybody, who may everything, and one for users, who may what ACLs say."""

    settings: Settings
    """As the user `platform`."""
    open: str


PROPERTIES = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_platform="hunter2";
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    ports = {"kafka": free_port(), "kafka_controller": free_port()}
    sasl = free_port()
    text = kafka._PROPERTIES
    for old, new in (
        (
            "listeners=PLAINTEXT://127.0.0.1:{broker}",
            f"listeners=PLAINTEXT://127.0.0.1:{{broker}},SASL://127.0.0.1:{sasl}",
        ),
        ("map=CONTROLLER:PLAINTEXT", "map=SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ):
        assert old in text
        text = text.replace(old, new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "_PROPERTIES", text + PROPERTIES)
        server = kafka.Kafka(StackState(tmp_path_factory.mktemp("kafka"), ports=ports, durable=False))
        try:
            server.start()
            dsn = SecretStr("postgresql://127.0.0.1:1/x")
            yield Guarded(
                Settings.of(
                    source_dsn=dsn,
                    platform_dsn=dsn,
                    kafka_bootstrap_servers=f"127.0.0.1:{sasl}",
                    kafka_security_protocol="SASL_PLAINTEXT",
                    kafka_sasl_mechanism="PLAIN",
                    kafka_sasl_username="platform",
                    kafka_sasl_password=SecretStr(SECRET),
                ),
                f"127.0.0.1:{ports['kafka']}",
            )
        finally:
            server.daemon.stop(server.stop_signal, 10)


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 2_000)


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as error:
        act()
    assert error.value.server.startswith("Kafka at 127.0.0.1:")
    assert "does not answer" not in str(error.value)
    assert SECRET not in str(error.value)
    return str(error.value)


def produce(settings: Settings, topic: str) -> None:
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        producer.commit([Message(topic, None, b"x")])


@pytest.mark.servers
@pytest.mark.parametrize(
    "changes",
    [
        {"kafka_sasl_password": SecretStr("wrong-hunter")},
        {"kafka_sasl_username": "nobody"},
        {"kafka_sasl_mechanism": "SCRAM-SHA-256"},
    ],
)
def test_who_refuses_the_login_says_so(guarded: Guarded, changes: dict[str, object]) -> None:
    wrong = guarded.settings.replace(**changes)
    for act in (
        ensure_topics,
        lambda s: closing(TopicReader(s.kafka, s.topics.events)),
        lambda s: produce(s, s.topics.events),
        checkpoint,
    ):
        said = refused(lambda act=act: act(wrong))  # type: ignore[misc]
        assert "refuses the login" in said
        assert "ENGAGEMENT_KAFKA_SASL_PASSWORD" in said


def checkpoint(settings: Settings) -> object:
    with open_checkpoints(settings) as topic:
        return topic.last()


@pytest.mark.servers
def test_a_right_that_is_missing_is_refused_until_it_is_given(guarded: Guarded) -> None:
    ours = guarded.settings
    everybody = ours.replace(kafka_bootstrap_servers=guarded.open, kafka_security_protocol="PLAINTEXT")
    assert "refuses a right" in refused(lambda: ensure_topics(ours))
    ensure_topics(everybody)
    with closing(KafkaAdminClient(bootstrap_servers=guarded.open)) as client:

        def allow(kind: ResourceType, name: str, *operations: ACLOperation) -> None:
            pattern = ResourcePattern(kind, name)
            client.create_acls([ACL("User:platform", "*", op, ACLPermissionType.ALLOW, pattern) for op in operations])

        topics = (ours.topics.events, ours.topics.checkpoint, ours.topics.dead_letters)
        for topic in topics:
            allow(ResourceType.TOPIC, topic, ACLOperation.DESCRIBE)
        assert "DescribeConfigs" in refused(lambda: topic_configuration(ours.kafka, ours.topics.events))
        for topic in topics:
            allow(ResourceType.TOPIC, topic, ACLOperation.DESCRIBE_CONFIGS)
        ensure_topics(ours)
        assert f"engagement-relay-{ours.topics.events}" in refused(lambda: produce(ours, ours.topics.events))
        transactional = f"engagement-relay-{ours.topics.events}"
        allow(ResourceType.TRANSACTIONAL_ID, transactional, ACLOperation.WRITE, ACLOperation.DESCRIBE)
        assert "refuses a right" in refused(lambda: produce(ours, ours.topics.events))
        assert "refuses a right" in refused(lambda: send_all(ours.kafka, [Message(ours.topics.events, None, b"x")]))
        allow(ResourceType.TOPIC, ours.topics.events, ACLOperation.WRITE)
        produce(ours, ours.topics.events)
        for topic in topics:
            allow(ResourceType.TOPIC, topic, ACLOperation.READ)
        assert checkpoint(ours) is None
        assert "GroupAuthorizationFailed" in refused(lambda: read_group(ours))
        allow(ResourceType.GROUP, ours.topics.forward_group, ACLOperation.READ)
        read_group(ours)


def read_group(settings: Settings) -> object:
    with closing(GroupReader(settings.kafka, settings.topics.events, settings.topics.forward_group)) as reader:
        return reader.stored()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.KafkaConnectionError("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "TLS"),
        (errors.KafkaConnectionError("Handshake failed: [SSL: WRONG_VERSION_NUMBER] wrong version"), "TLS"),
        (errors.ClusterAuthorizationFailedError(), "refuses a right"),
        (errors.SecurityDisabledError(), "refuses the login"),
    ],
)
def test_other_refusals(error: errors.KafkaError, said: str) -> None:
    told = unavailable(Kafka(), error)
    assert isinstance(told, Refused)
    assert said in str(told)


@pytest.mark.parametrize(
    "text", ["[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", "Connection refused", "timed out"]
)
def test_a_connection_that_broke_is_no_refusal(text: str) -> None:
    told = unavailable(Kafka(), errors.KafkaConnectionError(text))
    assert not isinstance(told, Refused)
