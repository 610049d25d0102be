"""Over TLS everything works; where the two sides do not agree, it is refused with the setting to look at."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.connection import connect_platform
from engagement_platform.adapters.redis.connection import connect_redis, reaching
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.console.doctor import examine_stream
from engagement_platform.domain.errors import Refused, SettingsError
from engagement_platform.settings import Settings
from engagement_platform_tests.certificates import PASSWORD
from engagement_platform_tests.secure.conftest import FIRST
from engagement_platform_tests.secure.servers import Servers
from engagement_platform_tests.streams import PACKAGED

pytestmark = [pytest.mark.servers, pytest.mark.newcomer]  # with the start of the servers half a minute

CLIENTS = pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])


def refused(act: Callable[[], object], todo: str) -> None:
    with pytest.raises(Refused) as raised:
        act()
    assert "do not agree on TLS" in raised.value.what
    assert todo in raised.value.todo
    assert FIRST not in str(raised.value)


# PostgreSQL

UNTRUSTED = "et sslrootcert of ENGAGEMENT_SOURCE_DSN name the file"


def source(dsn: str) -> None:
    session.connect(dsn, "test").close()


def arrow(dsn: str) -> None:
    with session.connect_arrow(Origin(dsn, PACKAGED), "test") as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()


@pytest.mark.parametrize("connect", [source, arrow])
def test_postgresql_is_verified_to_its_name(servers: Servers, connect: Callable[[str], None]) -> None:
    def dsn(role: str = "platform", host: str = "127.0.0.1", **options: object) -> str:
        return servers.dsn(role, FIRST, "media", host, **options)

    connect(dsn())
    certificates = servers.certificates
    refused(lambda: connect(dsn(sslrootcert=certificates.stranger)), UNTRUSTED)
    refused(lambda: connect(dsn(host="localhost")), "et host of ENGAGEMENT_SOURCE_DSN have a name")
    refused(lambda: connect(dsn(sslmode="disable", sslrootcert="")), "sslmode of ENGAGEMENT_SOURCE_DSN")
    refused(lambda: connect(dsn("certified")), "sslcert and sslkey of ENGAGEMENT_SOURCE_DSN")
    key: dict[str, Any] = {"sslkey": certificates.client.with_suffix(".key"), "sslpassword": PASSWORD}
    connect(dsn("certified", sslcert=certificates.client, **key))


def test_a_postgresql_whose_certificate_has_expired_is_refused(servers: Servers) -> None:
    folder = servers.certificates.authority.parent
    servers.show(folder / "authority-expired.pem")
    try:
        refused(lambda: source(servers.dsn("platform", FIRST, "media")), "enew the certificate of the source")
    finally:
        servers.show(folder / "authority-server.pem")


def test_the_platform_database_and_dagsters_own_clients_are_verified_too(servers: Servers, secure: Settings) -> None:
    connect_platform(secure, "test").close()
    strange = servers.dsn("platform", FIRST, "engagement_platform", sslrootcert=servers.certificates.stranger)
    untrusted = "sslrootcert of ENGAGEMENT_PLATFORM_DSN"
    refused(lambda: connect_platform(secure.replace(platform_dsn=strange), "test"), untrusted)
    create_engine(secure.platform.dsn.get_secret_value()).connect().close()
    with pytest.raises(Exception, match="certificate verify failed"):
        create_engine(strange).connect()


# Kafka


def kafka(servers: Servers, settings: Settings, client: str, listener: str, **changes: Any) -> Settings:
    tls: dict[str, Any] = {
        "kafka_client": client,
        "kafka_bootstrap_servers": servers.brokers(listener),
        "kafka_security_protocol": "SSL",
        **{f"kafka_sasl_{name}": None for name in ("mechanism", "username", "password")},
    }
    return settings.replace(**tls | changes)


@CLIENTS
def test_kafka_is_verified_to_its_name(servers: Servers, secure: Settings, client: str) -> None:
    def connect(listener: str, **changes: Any) -> None:
        ensure_topics(kafka(servers, secure, client, listener, **changes))

    ensure_topics(secure.replace(kafka_client=client))
    connect("tls")
    refused(lambda: connect("tls", kafka_ssl_cafile=servers.certificates.stranger), "et ENGAGEMENT_KAFKA_SSL_CAFILE")
    local = servers.brokers("tls", "localhost")
    refused(lambda: connect("tls", kafka_bootstrap_servers=local), "et ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS")
    refused(lambda: connect("expired"), "enew the certificate of the brokers")
    refused(lambda: connect("tls", kafka_security_protocol="PLAINTEXT"), "et ENGAGEMENT_KAFKA_SECURITY_PROTOCOL")
    refused(lambda: connect("kafka"), "et ENGAGEMENT_KAFKA_SECURITY_PROTOCOL")


@CLIENTS
def test_kafka_may_ask_for_a_certificate(servers: Servers, secure: Settings, client: str) -> None:
    certificates = servers.certificates

    def connect(certificate: Path | None, **changes: Any) -> None:
        ensure_topics(kafka(servers, secure, client, "mtls", kafka_ssl_certfile=certificate, **changes))

    connect(certificates.client, kafka_ssl_key_password=SecretStr(PASSWORD))
    connect(certificates.bare_client, kafka_ssl_keyfile=certificates.bare_client.with_suffix(".key"))
    for wrong in (None, certificates.expired_client, certificates.strange_client):
        refused(lambda wrong=wrong: connect(wrong), "ENGAGEMENT_KAFKA_SSL_CERTFILE")  # type: ignore[misc]


# Redis


def redis(settings: Settings, **changes: Any) -> None:
    with connect_redis(settings.replace(**changes).redis) as client, reaching(client):
        client.ping()


def test_redis_is_verified_to_its_name(servers: Servers, secure: Settings) -> None:
    certificates = servers.certificates
    redis(secure)
    refused(lambda: redis(secure, redis_ssl_cafile=certificates.stranger), "et ENGAGEMENT_REDIS_SSL_CAFILE")
    local = servers.redis_url(FIRST, host="localhost")
    refused(lambda: redis(secure, redis_url=local), "et ENGAGEMENT_REDIS_URL have a name")
    expired = servers.redis_url(FIRST, "valkey_expired")
    refused(lambda: redis(secure, redis_url=expired), "enew the certificate of Redis")
    plain = servers.redis_url(FIRST, scheme="redis")
    refused(lambda: redis(secure, redis_url=plain, redis_ssl_cafile=None), "beginning of ENGAGEMENT_REDIS_URL")
    refused(lambda: redis(secure, redis_url=servers.redis_url(FIRST, "valkey")), "beginning of ENGAGEMENT_REDIS_URL")


def test_redis_may_ask_for_a_certificate(servers: Servers, secure: Settings) -> None:
    certificates = servers.certificates
    mutual = secure.replace(redis_url=servers.redis_url(FIRST, "valkey_mtls"))
    redis(mutual, redis_ssl_certfile=certificates.client, redis_ssl_key_password=SecretStr(PASSWORD))
    for wrong in (None, certificates.expired_client, certificates.strange_client):
        refused(lambda wrong=wrong: redis(mutual, redis_ssl_certfile=wrong), "ENGAGEMENT_REDIS_SSL_CERTFILE")  # type: ignore[misc]


def test_doctor_says_of_each_server_which_setting_to_look_at(servers: Servers, secure: Settings) -> None:
    stranger = servers.certificates.stranger
    wrong = secure.replace(
        source_dsn=servers.dsn("platform", FIRST, "media", sslrootcert=stranger),
        platform_dsn=servers.dsn("platform", FIRST, "engagement_platform", sslrootcert=stranger),
        kafka_ssl_cafile=stranger,
        redis_ssl_cafile=stranger,
    )
    faults = [finding for finding in examine_stream(wrong) if finding.level == "fault"]
    for setting in (
        "sslrootcert of ENGAGEMENT_SOURCE_DSN",
        "sslrootcert of ENGAGEMENT_PLATFORM_DSN",
        "ENGAGEMENT_KAFKA_SSL_CAFILE",
        "ENGAGEMENT_REDIS_SSL_CAFILE",
    ):
        assert any(f"et {setting} name the file" in (finding.todo or "") for finding in faults), setting
    assert FIRST not in str(faults)


# Files


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ssl_cafile": "none.pem"}, "SSL_CAFILE cannot be used: No such file"),
        ({"ssl_cafile": "authority-bare.key"}, "SSL_CAFILE cannot be used: no certificate"),
        ({"ssl_certfile": "authority-certified.pem"}, "SSL_CERTFILE cannot be used as a certificate"),
        ({"ssl_certfile": "authority-bare.pem", "ssl_keyfile": "authority-late.key"}, "key values mismatch"),
        ({"ssl_keyfile": "authority-late.key"}, "SSL_CERTFILE is not"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    servers: Servers, secure: Settings, changes: dict[str, str], said: str
) -> None:
    folder = servers.certificates.authority.parent
    for kind, connect in (("kafka", ensure_topics), ("kafka", ensure_topics), ("redis", redis)):
        wrong = secure.replace(**{f"{kind}_{name}": folder / file for name, file in changes.items()})
        with pytest.raises(SettingsError, match=f"ENGAGEMENT_{kind.upper()}_.*{said}"):
            connect(wrong)
    with pytest.raises(SettingsError, match="ENGAGEMENT_REDIS_URL does not begin with rediss://"):
        closing(connect_redis(secure.replace(redis_url="redis://127.0.0.1:1").redis))
