"""A bad deploy does not leave every event uncounted: the tally stops, and counts them after the fix."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.redis.views import Views
from engagement_platform.console.give_up import give_up
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.playback import Playbacks
from engagement_platform.domain.rejections import FIRST_ALLOWED
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually
from engagement_platform_tests.stream.tally.support import Running, Start, assert_exact, becomes_exact, drain

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.2)


def reads_nothing(*_: Any) -> None:
    """Stand in for a reader that takes nothing for an event."""


def test_after_a_bad_deploy_every_event_is_counted(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(20))
    drain(settings)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Playbacks, "read", reads_nothing)
        sent += topic.send(event(n) for n in range(100))
        with pytest.raises(StreamStopped, match="give-up tally"):
            drain(settings)
        running = start()
        eventually(lambda: running.told)
        assert "not an event" in running.told
        broken.undo()
        becomes_exact(views, sent, settings)
        eventually(lambda: not running.told)
    assert not running.control.progress.detail.get("unreadable")


def has_left_out(running: Running, number: int) -> Callable[[], bool]:
    return lambda: running.control.progress.detail.get("unreadable") == number


def test_single_bad_messages_are_left_out_until_there_are_too_many(
    settings: Settings, topic: Topic, views: Views, start: Start, in_environment: None
) -> None:
    ensure_schema(settings)
    sent = topic.send([event()])
    running = start()
    becomes_exact(views, sent, settings)
    for number in range(FIRST_ALLOWED):
        topic.send_raw(b"somebody else's")
        eventually(has_left_out(running, number + 1))
    topic.send_raw(b"somebody else's")
    sent += topic.send(event(n) for n in range(5))
    eventually(lambda: running.told)
    assert CliRunner().invoke(give_up, ["tally", "--yes"]).exit_code == 0
    becomes_exact(views, sent, settings)
    eventually(lambda: not running.told)
    running.finish()
    assert_exact(views, sent, settings)
