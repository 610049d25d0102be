"""What a client leaves behind when it could not be opened: nothing."""

import gc
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.kafka import connection, librdkafka
from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.producer import open_producer
from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.domain.errors import SettingsError, Unavailable
from engagement_platform.settings import Settings

Opener = Callable[[Settings], AbstractContextManager[Any]]

OPENERS: dict[str, Opener] = {
    "reader": lambda settings: closing(TopicReader(settings.kafka, settings.topics.events)),
    "checkpoints": open_checkpoints,
    "producer": lambda settings: open_producer(settings, 1_000_000),
    "admin": lambda settings: admin(settings.kafka),
}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, client: str) -> Settings:
    """Settings of a Kafka that is not there."""
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 50)
    dsn = SecretStr("postgresql://127.0.0.1:1/x")
    return Settings.of(source_dsn=dsn, platform_dsn=dsn, kafka_bootstrap_servers="127.0.0.1:1", kafka_client=client)


def held() -> tuple[int, int]:
    """Return how many threads and file descriptors this process has."""
    gc.collect()  # the sockets of refused connections are left to it
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/dev/fd").iterdir()))


@contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


TIMES = 12


@contextmanager
def nothing_left() -> Iterator[None]:
    """Hold that `TIMES` failures leave nothing; threads of other tests may open or close a few files meanwhile."""
    before = held()
    yield
    after = held()
    assert all(now < was + TIMES // 2 for was, now in zip(before, after, strict=True)), (before, after)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_failed_opens_leave_no_thread_and_no_file(nowhere: Settings, opener: Opener) -> None:
    """Else a relay that waits for Kafka for hours ends because it may open no more files."""
    with nothing_left():
        for _ in range(TIMES):
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"), opener(nowhere):
                pass


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_a_process_that_may_open_no_more_files_waits(nowhere: Settings, opener: Opener) -> None:
    with nothing_left():
        for _ in range(TIMES):
            with no_more_files(), pytest.raises(Unavailable, match="Too many open files"), opener(nowhere):
                pass


def test_a_client_that_is_not_installed_is_named_with_its_extra(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    for name in [name for name in sys.modules if name.startswith(f"{librdkafka.__name__}.")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(librdkafka, name.rpartition(".")[2], raising=False)
    fast = nowhere.replace(kafka_client="librdkafka")
    with pytest.raises(SettingsError, match=r"ENGAGEMENT_KAFKA_CLIENT .*pip install 'engagement-platform\[fast\]'"):
        client_of(fast.kafka)
    assert client_of(nowhere.replace(kafka_client="kafka-python").kafka)


def test_only_the_client_that_is_chosen_is_loaded(client: str) -> None:
    program = (
        "import sys, engagement_platform.stream.relay.loop, engagement_platform.adapters.kafka.preloaded;"
        "print([name for name in ('kafka', 'confluent_kafka') if name in sys.modules])"
    )
    environment = {"ENGAGEMENT_KAFKA_CLIENT": client}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == {"kafka-python": "['kafka']", "librdkafka": "['confluent_kafka']"}[client]
