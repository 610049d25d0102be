"""The servers of this folder: one set for all its tests, started when the first of them begins."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.kafka import connection
from engagement_platform.settings import Settings
from engagement_platform_tests.secure.servers import USER, Servers, secured

FIRST = "hunter2-first"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with secured() as started:
        with started.admin() as admin:
            for role in (USER, "certified"):
                admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{FIRST}'".encode())
                admin.execute(f"GRANT pg_read_all_data, engagement_platform TO {role}".encode())
        with started.operator() as operator:
            operator.acl_setuser(USER, enabled=True, passwords=[f"+{FIRST}"], keys=["*"], categories=["+@all"])
        started.set_kafka_password(FIRST)
        yield started


@pytest.fixture
def secure(servers: Servers) -> Settings:
    """Settings by which everything is reached over TLS, and Kafka and Redis by a user."""
    authority = servers.certificates.authority
    return Settings.of(
        source_dsn=servers.dsn(USER, FIRST, "media"),
        platform_dsn=servers.dsn(USER, FIRST, "engagement_platform"),
        kafka_bootstrap_servers=servers.brokers("scram"),
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_sasl_username=USER,
        kafka_sasl_password=SecretStr(FIRST),
        kafka_ssl_cafile=authority,
        redis_url=servers.redis_url(FIRST),
        redis_ssl_cafile=authority,
    )


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 2_000)
