"""The record of changes, as programs read it."""

import pytest
from starlette.testclient import TestClient

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.audit import Audit
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.settings import Settings


@pytest.mark.servers
def test_who_changed_what_is_told_the_newest_first(client: TestClient, settings: Settings) -> None:
    with Audit.opened(settings, "test") as audit:
        with audit.recorded("anna from 127.0.0.1", "redrive", "dead letters", why="asked for") as outcome:
            outcome.text = "3 letters redriven, 0 cannot be"
        with pytest.raises(StreamStopped), audit.recorded("me", "pause", "tally"):
            raise StreamStopped("It cannot.")
    newest, first = client.get("/api/v1/changes").json()["changes"]
    assert (newest["action"], newest["outcome"]) == ("pause", "failed: It cannot.")
    assert first["detail"] == {"why": "asked for"}
    assert first["ended_at"] >= first["begun_at"]
    only = client.get("/api/v1/changes", params={"action": "redrive", "limit": 1}).json()
    assert [one["number"] for one in only["changes"]] == [first["number"]]
    assert only["stream"] == "engagement"
    assert client.get("/api/v1/changes", params={"action": "delete"}).status_code == 400
    ensure_topics(settings)
    page = client.get("/dead-letters", headers={"accept": "text/html", "accept-language": "ar"}).text
    assert "أُعيد إرسال \u20683\u2069 رسالة" in page
