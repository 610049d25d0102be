"""A Kafka that refuses a login or a right says so, and what to do, and goes on once that was done."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from pydantic import SecretStr

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics, topic_configuration
from engagement_platform.domain.errors import Refused
from engagement_platform.settings import Settings
from engagement_platform_tests.certificates import Authority
from engagement_platform_tests.listeners import AUTHORIZED, broker

SECRET = "hunter2"
NO_LOGIN: dict[str, object] = {f"kafka_sasl_{name}": None for name in ("mechanism", "username", "password")}


@dataclass(frozen=True)
class Guarded:
    """A broker with a listener for everybody, who may everything, and one for users, who may what ACLs say."""

    settings: Settings
    """As the user `platform`."""
    open: str
    encrypted: str
    """Where everybody may everything, over TLS."""
    encrypted_users: str
    """Where users may what ACLs say, over TLS."""
    authority: Path
    """The file with the authority that signed the broker's certificate."""


ENCRYPTED = """\
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={identity}
listener.name.both.ssl.keystore.type=PEM
listener.name.both.ssl.keystore.location={identity}
listener.name.both.sasl.enabled.mechanisms=PLAIN
listener.name.both.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required;
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("kafka")
    authority = Authority(folder)
    more = AUTHORIZED.format(user="platform", password=SECRET) + ENCRYPTED.format(identity=authority.server())
    with broker(folder, {"sasl": "SASL_PLAINTEXT", "tls": "SSL", "both": "SASL_SSL"}, more) as ports:
        dsn = SecretStr("postgresql://127.0.0.1:1/x")
        yield Guarded(
            Settings.of(
                source_dsn=dsn,
                platform_dsn=dsn,
                kafka_bootstrap_servers=f"127.0.0.1:{ports['sasl']}",
                kafka_security_protocol="SASL_PLAINTEXT",
                kafka_sasl_mechanism="PLAIN",
                kafka_sasl_username="platform",
                kafka_sasl_password=SecretStr(SECRET),
            ),
            f"127.0.0.1:{ports['kafka']}",
            f"127.0.0.1:{ports['tls']}",
            f"127.0.0.1:{ports['both']}",
            authority.file,
        )


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


def refused_each_way(settings: Settings) -> Iterator[str]:
    """Yield what is said to each that connects: who makes topics, reads one, writes, or looks for the checkpoint."""
    yield refused(lambda: ensure_topics(settings))
    yield refused(lambda: closing(TopicReader(settings.kafka, settings.topics.events)))
    yield refused(lambda: produce(settings, settings.topics.events))
    yield refused(lambda: checkpoint(settings))


@pytest.mark.servers
@pytest.mark.parametrize(
    "changes",
    [
        {"kafka_sasl_password": SecretStr("wrong-hunter")},
        {"kafka_sasl_username": "nobody"},
        {"kafka_sasl_mechanism": "SCRAM-SHA-256"},
    ],
)
def test_who_refuses_the_login_says_so(
    guarded: Guarded, client: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 500)
    wrong = guarded.settings.replace(kafka_client=client, **changes)
    for said in refused_each_way(wrong):
        assert "refuses the login" in said
        assert "ENGAGEMENT_KAFKA_SASL_PASSWORD" in said


@pytest.mark.servers
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "tls"])
def test_who_wants_a_login_and_gets_none_says_so(
    guarded: Guarded, client: str, monkeypatch: pytest.MonkeyPatch, *, is_encrypted: bool
) -> None:
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 500)
    without = guarded.settings.replace(kafka_client=client, kafka_security_protocol="PLAINTEXT", **NO_LOGIN)
    if is_encrypted:
        without = without.replace(
            kafka_bootstrap_servers=guarded.encrypted_users,
            kafka_security_protocol="SSL",
            kafka_ssl_cafile=guarded.authority,
        )
    for said in refused_each_way(without):
        assert "wants a login" in said
        assert f"to SASL_{'SSL' if is_encrypted else 'PLAINTEXT'}" in said


def own_topics(client: str) -> dict[str, str]:
    """Return topics of one client's own: rights are given by their names."""
    names = ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic", "forward_group")
    return {name: f"{client}-{name}" for name in names}


def checkpoint(settings: Settings) -> object:
    with open_checkpoints(settings) as topic:
        return topic.last()


@pytest.mark.servers
def test_a_right_that_is_missing_is_refused_until_it_is_given(guarded: Guarded, client: str) -> None:
    ours = guarded.settings.replace(kafka_client=client, **own_topics(client))
    everybody = ours.replace(kafka_bootstrap_servers=guarded.open, kafka_security_protocol="PLAINTEXT")
    assert "refuses a right" in refused(lambda: ensure_topics(ours))
    ensure_topics(everybody)
    with closing(KafkaAdminClient(bootstrap_servers=guarded.open)) as operator:

        def allow(kind: ResourceType, name: str, *operations: ACLOperation) -> None:
            pattern = ResourcePattern(kind, name)
            operator.create_acls([ACL("User:platform", "*", op, ACLPermissionType.ALLOW, pattern) for op in operations])

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


@pytest.mark.servers
def test_an_authority_that_is_not_known_is_refused_until_it_is_named(guarded: Guarded, client: str) -> None:
    encrypted = guarded.settings.replace(
        kafka_client=client,
        kafka_bootstrap_servers=guarded.encrypted,
        kafka_security_protocol="SSL",
        **NO_LOGIN,
    )
    said = refused(lambda: ensure_topics(encrypted))
    assert "do not agree on TLS" in said
    assert "ENGAGEMENT_KAFKA_SSL_CAFILE" in said
    ours = encrypted.replace(kafka_ssl_cafile=guarded.authority, **own_topics(f"tls-{client}"))
    ensure_topics(ours)
    produce(ours, ours.topics.events)
    assert checkpoint(ours) is None
