"""What a person must mend ends a tally with clear words; what nobody foresaw never makes it spin."""

import logging
import re
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from engagement_platform.adapters.redis.counts import Counts
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Views
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.stream.tally.support import Impatient, Start, becomes_exact, drain, lines
from engagement_platform_tests.streams import PACKAGED

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.2)


def test_a_key_of_another_program_stops_it_until_the_views_are_rebuilt(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(10))
    running = start()
    becomes_exact(views, sent, settings)
    key = Keys.live(settings.redis.namespace).buckets
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(key)
        pipe.set(key, "of somebody else")
        pipe.execute()
    eventually(lambda: re.search(r"WRONGTYPE.*ENGAGEMENT_REDIS_NAMESPACE", running.told))
    rebuild_views(settings)
    becomes_exact(views, sent, settings)  # it has looked again


def test_rights_that_are_taken_away_stop_it(settings: Settings, topic: Topic, own_redis: Server, start: Start) -> None:
    client: Any
    with own_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "tally", "on", ">hunter2", "~*", "+@all")
        url = own_redis.url.replace("redis://", "redis://tally:hunter2@")
        running = start(settings.replace(redis_url=SecretStr(url)))
        eventually(lambda: Views(client, settings.redis.namespace, PACKAGED).as_of())
        client.execute_command("ACL", "SETUSER", "tally", "-hset")
        eventually(lambda: "ACL SETUSER tally" in running.told)
        assert "hunter2" not in running.told
        client.execute_command("ACL", "SETUSER", "tally", "+hset")
        eventually(lambda: not running.told)


@pytest.mark.parametrize("fault", [TypeError("an odd answer"), redis.exceptions.ResponseError("ERR of a new kind")])
def test_what_nobody_foresaw_is_logged_and_tried_again_ever_later(
    settings: Settings,
    topic: Topic,
    views: Views,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    drain(settings)  # so that there are views to go on with
    sent = topic.send(event(n) for n in range(10))
    original, control = Counts.apply, Impatient()

    def apply(*arguments: Any, **options: Any) -> Any:
        if len(control.waits) < 5:
            raise fault
        return original(*arguments, **options)

    monkeypatch.setattr(Counts, "apply", apply)
    with caplog.at_level(logging.ERROR, "engagement_platform"):
        running = start(settings, control)
        becomes_exact(views, sent, settings)
        running.finish()
    assert control.waits == [0, 0.2, 0.4, 0.8, 1.6]
    assert lines(caplog, "nobody foresaw") == 5
    assert all(record.exc_info for record in caplog.records if record.levelno >= logging.ERROR)
