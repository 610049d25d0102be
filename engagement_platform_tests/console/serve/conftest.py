"""The page for tests: over the real servers (`client`), or over a sample that a test made (`still`)."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.sampler import Sample, Sampler, StreamSample
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import write

TOKEN = "a-token-of-the-tests"
HOME = "http://127.0.0.1:3010"
HTML = {"accept": "text/html"}


@pytest.fixture
def site(settings: Settings) -> Site:
    """The page over the test's own servers; `engagement` is its stream."""
    ensure_schema(settings)
    streams: dict[str, Settings | EngagementError] = {settings.stream: settings}
    return Site(streams, Sampler(streams), Guard(TOKEN))


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    """A browser or a program that asks that page."""
    with TestClient(create_app(site), base_url=HOME, follow_redirects=False) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A partner."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def ours(settings: Settings, site: Site, receiver: Receiver, source_db: SourceDatabase) -> Settings:
    """Three events, of which the partner has refused the second, and takes it now; the page knows the partner."""
    made = settings.replace(api_url=SecretStr(receiver.url), forward_group=f"forward-{settings.topics.events}")
    site.streams[made.stream] = made  # type: ignore[index]
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 3)
    drain(relay.run, made)
    receiver.behave(Behaviour(poison=frozenset({"engagement-event-2"})))
    drain(forward.run, made)
    receiver.behave(Behaviour())
    return made


class StillSampler(Sampler):
    """Has one sample, and reads nothing."""

    def __init__(self, sample: Sample) -> None:
        super().__init__({})
        self.latest = sample

    @property
    def silent_seconds(self) -> float:
        """Its sample is the last sign of life."""
        return time.time() - self.latest.at

    def start(self, patience: float = 0) -> None:
        """Begin nothing."""

    def stop(self) -> None:
        """End nothing."""

    def show(self, sample: Sample) -> None:
        """Let this be the latest sample, as if it had been read now."""
        self.latest = replace(sample, number=self.latest.number + 1, at=time.time())
        for listener in tuple(self._listeners):
            listener()


NOWHERE = Settings.of(
    source_dsn=SecretStr("postgresql://127.0.0.1:1/media"),
    platform_dsn=SecretStr("postgresql://127.0.0.1:1/platform"),
    redis_url=SecretStr("redis://127.0.0.1:1/0"),
    kafka_bootstrap_servers="127.0.0.1:1",
)
"""Settings of servers that are not there: what is asked of them at once fails at once."""


def unread() -> Sample:
    """Return a sample of which nothing could be read."""
    stream = StreamSample("engagement", EngagementError("It has not been read yet."), NOWHERE)
    return Sample(1, time.time(), {"engagement": stream})


Still = Callable[..., TestClient]


@pytest.fixture
def still() -> Iterator[Still]:
    """Return a browser over a sample that stays; `guard` is who may do what. No server is needed."""
    opened: list[TestClient] = []

    def made(sample: Sample | None = None, guard: Guard | None = None, base_url: str = HOME) -> TestClient:
        shown = sample or unread()
        streams = {name: stream.settings for name, stream in shown.streams.items()}
        site = Site(streams, StillSampler(shown), guard or Guard(TOKEN))
        client = TestClient(create_app(site), base_url=base_url, follow_redirects=False)
        opened.append(client.__enter__())
        return client

    yield made
    for client in opened:
        client.__exit__(None, None, None)


def log_in(client: TestClient, name: str = "me", token: str = TOKEN) -> str:
    """Log in; return the token that the session's forms carry."""
    assert client.post("/login", data={"name": name, "token": token}).status_code == 303
    page = client.get("/", headers=HTML).text
    return page.partition('name="form_token" value="')[2].partition('"')[0]
