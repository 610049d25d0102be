"""Real servers over TLS that ask for passwords and certificates, and whose users can be given other passwords.

The local stack's Valkey was built without TLS: that is ended before it.
"""

import os
import platform
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jgo
import psycopg
import pytest
import redis
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from engagement_platform.local import kafka, postgres, valkey
from engagement_platform.local.state import StackState, made_whole
from engagement_platform_tests.certificates import ADDRESS, PASSWORD, Authority
from engagement_platform_tests.conftest import reachable_folder
from engagement_platform_tests.listeners import listening
from engagement_platform_tests.ports import free_port
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.terminator import terminated

USER = "platform"
_SESSION_MS = 1_500
"""After this a client of Kafka has to say its password again, or is cut off."""


@dataclass(frozen=True)
class Certificates:
    """The files of certificates."""

    authority: Path
    stranger: Path
    """Of an authority that signed none of the servers."""
    client: Path
    """Of a client, with its encrypted key; its common name is a role of PostgreSQL."""
    expired_client: Path
    strange_client: Path
    bare_client: Path
    """As `client`, its key not being encrypted."""


@dataclass(frozen=True)
class Servers:
    """PostgreSQL, Kafka and Valkey on loopback."""

    ports: dict[str, int]
    certificates: Certificates
    postgres: postgres.Postgres
    valkey_url: str
    """As an operator, without TLS."""

    # PostgreSQL

    def admin(self) -> psycopg.Connection:
        """Return a session of an administrator."""
        return psycopg.connect(self.postgres.url("postgres", "postgres"), autocommit=True)

    def show(self, certificate: Path) -> None:
        """Let PostgreSQL show a certificate to whoever connects from now on."""
        key = certificate.with_suffix(".key")
        if (user := postgres._unprivileged_user()) is not None:
            os.chown(key, user, -1)
        files = {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": self.certificates.authority}
        with self.admin() as admin:
            for name, value in {**files, "ssl": "on"}.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            admin.execute("SELECT pg_reload_conf()")
        wait_for(lambda: self._shows(certificate), "PostgreSQL to show it")

    def _shows(self, certificate: Path) -> bool:
        with self.admin() as admin:
            rows = admin.execute("SELECT current_setting('ssl'), current_setting('ssl_cert_file')").fetchall()
        return rows == [("on", str(certificate))]

    def dsn(self, role: str, password: str, database: str, host: str = ADDRESS, **options: object) -> str:
        """Return the URL of a database, with options of TLS."""
        asked = {"sslmode": "verify-full", "sslrootcert": self.certificates.authority, **options}
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        return f"postgresql://{role}:{password}@{host}:{self.ports['postgres']}/{database}?{query}"

    # Kafka

    def brokers(self, listener: str, host: str = ADDRESS) -> str:
        """Return the address of a listener."""
        return f"{host}:{self.ports[listener]}"

    def set_kafka_password(self, password: str, user: str = USER) -> None:
        """Let a user of SCRAM have this password alone."""
        upsertion = UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_256, password, iterations=4096)
        with closing(KafkaAdminClient(bootstrap_servers=self.brokers("kafka"))) as operator:
            operator.alter_user_scram_credentials([upsertion])

    # Valkey

    @contextmanager
    def operator(self) -> Iterator[redis.Redis]:
        """Lend a session of an operator."""
        with redis.Redis.from_url(self.valkey_url, decode_responses=True) as client:
            yield client

    def redis_url(self, password: str, port: str = "valkey_tls", host: str = ADDRESS, scheme: str = "rediss") -> str:
        """Return the URL of the user."""
        return f"{scheme}://{USER}:{password}@{host}:{self.ports[port]}/0"


_KAFKA = """\
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={server}
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={expired}
listener.name.mtls.ssl.keystore.type=PEM
listener.name.mtls.ssl.keystore.location={server}
listener.name.mtls.ssl.truststore.type=PEM
listener.name.mtls.ssl.truststore.location={authority}
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.scram.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.scram.scram-sha-256.connections.max.reauth.ms={session}
listener.name.scram.ssl.keystore.type=PEM
listener.name.scram.ssl.keystore.location={server}
"""
_LISTENERS = {"tls": "SSL", "expired": "SSL", "mtls": "SSL", "scram": "SASL_SSL"}
_HBA = f"""\
hostssl all certified {ADDRESS}/32 scram-sha-256 clientcert=verify-full
host all postgres,{postgres.OWNER} {ADDRESS}/32 scram-sha-256
hostssl all all {ADDRESS}/32 scram-sha-256
"""


class Postgres(postgres.Postgres):
    """A PostgreSQL that was built with TLS, which that of the local stack was not; from where Kafka comes from, too."""

    def _binaries(self) -> Path:
        programs = self._state.folder / "programs"
        if not programs.exists():
            machine = {"x86_64": "amd64", "aarch64": "arm64v8"}[platform.machine()]
            with kafka.alone("jars"):
                made = Path(jgo.build(f"io.zonky.test.postgres:embedded-postgres-binaries-linux-{machine}:17.6.0").path)
            (jar,) = made.glob("*/embedded-postgres-binaries-*.jar")
            with zipfile.ZipFile(jar) as opened, made_whole(programs) as unfinished:
                (name,) = (name for name in opened.namelist() if name.endswith(".txz"))
                with opened.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
                    archive.extractall(unfinished, filter="fully_trusted")
        return programs / "bin"


@contextmanager
def secured() -> Iterator[Servers]:
    """Start the servers, and end them behind the block."""
    folder = reachable_folder()
    certificates, server, expired = _certify(folder)
    ports = {name: free_port() for name in ("postgres", "kafka", "kafka_controller", "valkey", *_LISTENERS)}
    state = StackState(folder, ports=ports, durable=False)
    started = (Postgres(state), kafka.Kafka(state), valkey.Valkey(state))
    try:
        more = _KAFKA.format(server=server, expired=expired, authority=certificates.authority, session=_SESSION_MS)
        with listening(ports, _LISTENERS, more), pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres, "_SETTINGS", (*postgres._SETTINGS, f"hba_file={_hba(folder)}"))
            for one in started:
                one._spawn()
            for one in started:
                one.start()
        servers = Servers(ports, certificates, started[0], started[2].url)
        servers.show(server)
        with (
            terminated(ports["valkey"], server) as ports["valkey_tls"],
            terminated(ports["valkey"], server, certificates.authority) as ports["valkey_mtls"],
            terminated(ports["valkey"], expired) as ports["valkey_expired"],
        ):
            yield servers
    finally:
        for one in started:
            one.daemon.stop(one.stop_signal, 10)
        shutil.rmtree(folder, ignore_errors=True)


def _certify(folder: Path) -> tuple[Certificates, Path, Path]:
    ours, strange = Authority(folder), Authority(folder, "stranger")
    certificates = Certificates(
        ours.file,
        strange.file,
        ours.client("certified", password=PASSWORD),
        ours.client("late", days=-1),
        strange.client("certified"),
        ours.client("bare"),
    )
    return certificates, ours.server(), ours.server("expired", days=-1)


def _hba(folder: Path) -> Path:
    file = folder / "hba.conf"
    file.write_text(_HBA)
    return file
