"""The servers under test, each behind a proxy, and reached directly by the checker."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engagement_platform.local import state
from engagement_platform.local.kafka import Kafka
from engagement_platform.local.postgres import OWNER, PLATFORM, READER, SOURCE, Postgres
from engagement_platform.local.server import Server
from engagement_platform.local.state import StackState
from engagement_platform.local.valkey import Valkey
from engagement_platform_tests.certificates import Authority
from engagement_platform_tests.chaos.proxy import Proxies
from engagement_platform_tests.ports import free_port

NAMES = ("source", "platform", "kafka", "redis", "partner")
_PATIENCE = 300
"""For a server's start, in seconds: on a busy machine too, since its own start is not judged."""


class BehindProxy(Kafka):
    """A broker that names the proxy to its clients, and a listener of its own to the checker and to itself."""

    _patience = _PATIENCE

    @property
    def bootstrap_servers(self) -> str:
        """Whom to ask directly: the proxy speaks TLS."""
        return f"127.0.0.1:{self._state.ports['own']}"

    def _write_properties(self, name: str, data: Path) -> Path:
        file = super()._write_properties(name, data)
        ports, text = self._state.ports, file.read_text()
        plain, own = f"PLAINTEXT://127.0.0.1:{ports['kafka']}", f"OWN://127.0.0.1:{ports['own']}"
        text = text.replace(f"\nlisteners={plain}", f"\nlisteners={plain},{own}")
        shown = f"PLAINTEXT://127.0.0.1:{ports['proxy']}"
        text = text.replace(f"advertised.listeners={plain}", f"advertised.listeners={shown},{own}")
        text = text.replace(
            "PLAINTEXT:PLAINTEXT\n", "PLAINTEXT:PLAINTEXT,OWN:PLAINTEXT\ninter.broker.listener.name=OWN\n"
        )
        file.write_text(text + "log.retention.check.interval.ms=1000\nlog.segment.delete.delay.ms=500\n")
        return file


class Patient(Postgres):
    """A server that may take its time to start."""

    _patience = _PATIENCE


class Shimmed(Valkey):
    """A server whose clock can be moved."""

    variables: Mapping[str, str] = {}

    def _spawn(self) -> None:
        before = dict(os.environ)
        os.environ.update(self.variables)
        try:
            super()._spawn()
        finally:
            os.environ.clear()
            os.environ.update(before)


@dataclass(frozen=True)
class Certificates:
    """Files with certificates, each with its key."""

    authority: Path
    """Whom the platform trusts."""
    good: Path
    wrong: tuple[Path, ...]
    """Of a stranger, and one that has expired."""

    @classmethod
    def made(cls, folder: Path) -> "Certificates":
        """Make them."""
        known, stranger = Authority(folder), Authority(folder, "stranger")
        return cls(known.file, known.server(), (stranger.server(), known.server("expired", days=-0.5)))


@dataclass(frozen=True)
class Servers:
    """All of them, and how each is reached by whom."""

    all: Mapping[str, Server]
    proxies: Proxies
    ports: Mapping[str, int]
    """Name -> the server's own port."""
    certificates: Certificates

    @classmethod
    def start(cls, folder: Path, shim: Mapping[str, str]) -> "Servers":
        """Start all, in a folder of their own; `shim` is what Redis gets in its environment."""
        main, other = _state(folder / "servers"), _state(folder / "platform")
        postgres, platform, kafka, valkey = Patient(main), Patient(other), BehindProxy(main), Shimmed(main)
        valkey.variables = shim
        ports = {
            "source": main.ports["postgres"],
            "platform": other.ports["postgres"],
            "kafka": main.ports["kafka"],
            "redis": main.ports["valkey"],
            "partner": free_port(),
        }
        certificates = Certificates.made(folder)
        proxies = Proxies(
            {name: (port, main.ports["proxy"] if name == "kafka" else free_port()) for name, port in ports.items()},
            dict.fromkeys(NAMES, certificates.good),
        )
        all_of_them = {"source": postgres, "platform": platform, "kafka": kafka, "redis": valkey}
        servers = cls(all_of_them, proxies, ports, certificates)
        try:
            for server in servers.all.values():
                server.start()
        except BaseException:
            servers.close()
            raise
        return servers

    def close(self) -> None:
        """End all of them."""
        self.proxies.close()
        for server in self.all.values():
            server.daemon.stop(server.stop_signal)

    def addresses(self, *, direct: bool) -> dict[str, str]:
        """Return name -> address, as the platform reaches it or directly."""
        source, platform, redis, kafka = (self.all[name] for name in ("source", "platform", "redis", "kafka"))
        assert isinstance(source, Postgres)
        assert isinstance(platform, Postgres)
        assert isinstance(redis, Valkey)
        assert isinstance(kafka, BehindProxy)
        own = {
            "source": source.url(READER, SOURCE),
            "writer": source.url(OWNER, SOURCE),
            "admin": source.url("postgres", SOURCE),
            "platform": platform.url(PLATFORM, PLATFORM),
            "platform_admin": platform.url("postgres", "postgres"),
            "redis": redis.url,
            "partner": f"http://127.0.0.1:{self.ports['partner']}/events",
        }
        if direct:
            return own | {"kafka": kafka.bootstrap_servers}
        shown = {
            name: address.replace(f":{self.ports[name]}/", f":{self.proxies.ports[name]}/")
            for name, address in own.items()
            if name in self.proxies.ports
        }
        verified = f"?sslmode=verify-full&sslnegotiation=direct&sslrootcert={self.certificates.authority}"
        shown |= {name: f"{shown[name]}{verified}" for name in ("source", "platform")}
        shown |= {"redis": f"rediss{shown['redis'].removeprefix('redis')}"}
        shown |= {"partner": f"https{shown['partner'].removeprefix('http')}"}
        return shown | {"kafka": f"127.0.0.1:{self.proxies.ports['kafka']}"}


def _state(folder: Path) -> StackState:
    folder.mkdir(parents=True, exist_ok=True)
    made = state.load(folder)
    for name in ("postgres", "kafka", "kafka_controller", "valkey", "own", "proxy"):
        made.ports[name] = free_port()
    for owner in ("postgres", OWNER, READER, PLATFORM, "valkey"):
        made.password(owner)
    made.save()
    return made
