"""The page Event: a search, and the trace in two languages."""

from dataclasses import replace

import psycopg
import pytest
from starlette.testclient import TestClient

from engagement_platform.console.serve.event import id_of
from engagement_platform.console.serve.sampler import StreamSample
from engagement_platform.console.serve.texts import LANGUAGES, Texts
from engagement_platform.console.serve.trace_words import sentence
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.trace.trace import Said
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.console.serve.conftest import HTML, NOWHERE, Still, unread
from engagement_platform_tests.streaming import drain, insert


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4711", 4711), ("-5", -5), ("engagement-event-4711", 4711), ("orders-event-1", None),
        ("my-engagement-event-1", None), ("engagement-event--5", -5), ("", None), ("x", None), ("1.5", None),
        ("٤", None), ("--5", None), ("9" * 30, None), (str((1 << 63) - 1), (1 << 63) - 1), (str(1 << 63), None),
        ("x-event-", None),
    ],
)  # fmt: skip
def test_an_event_is_named_by_its_id_or_its_key(text: str, number: int | None) -> None:
    assert id_of(text, "engagement") == number


def test_a_key_leads_to_the_event_of_its_own_stream(still: Still) -> None:
    one = unread()
    orders = StreamSample("orders", EngagementError("It has not been read yet."), NOWHERE.replace(stream="orders"))
    client = still(replace(one, streams={**one.streams, "orders": orders}))

    def led_to(**asked: str) -> str | None:
        return client.get("/event", params=asked, headers=HTML).headers.get("location")

    assert led_to(id="orders-event-5") == "/event/5?stream=orders"
    assert led_to(id="engagement-event-5", stream="orders") == "/event/5?stream=engagement"
    assert led_to(id="5", stream="orders") == "/event/5?stream=orders"
    assert led_to(id="sales-event-5") is None
    for path, status in (("/event/orders-event-5", 404), ("/deliveries?event=orders-event-5", 400)):
        assert client.get(path, headers=HTML).status_code == status
    assert client.get("/dead-letters?event=orders-event-5", headers=HTML).status_code == 400


def test_links_lead_to_the_same_stream_where_there_are_several(still: Still) -> None:
    one = unread()
    assert 'href="/deliveries"' in still(one).get("/event", headers=HTML).text
    orders = replace(one.streams["engagement"], name="orders")
    client = still(replace(one, streams={**one.streams, "orders": orders}))
    assert 'href="/deliveries?stream=orders"' in client.get("/event?stream=orders", headers=HTML).text
    assert 'href="/deliveries?stream=engagement"' in client.get("/event", headers=HTML).text


def test_an_event_is_searched_for_and_traced(settings: Settings, source_db: SourceDatabase, client: TestClient) -> None:
    with psycopg.connect(source_db.writer_dsn) as writer:
        (number,) = insert(writer)
    drain(relay.run, settings)
    assert "Find" in client.get("/event", headers=HTML).text
    found = client.get("/event", params={"id": f" engagement-event-{number} "}, headers=HTML)
    assert (found.status_code, found.headers["location"]) == (303, f"/event/{number}")
    page = client.get(f"/event/{number}", headers=HTML).text
    assert page.index("Source") < page.index("Kafka") < page.index("Warehouse") < page.index("Partner")
    assert "offset 0, since" in page
    assert f"/deliveries?event={number}" in page
    arabic = client.get(f"/event/{number}", headers=HTML | {"accept-language": "ar"}).text
    assert "الإزاحة \u20680\u2069" in arabic, "in its own direction, so that dates keep their order"
    assert 'dir="rtl"' in arabic
    assert client.get("/event", params={"id": "x"}, headers=HTML).status_code == 400
    assert client.get("/event/x", headers=HTML).status_code == 404


def test_what_cannot_be_read_is_not_known_and_the_page_is_there(still: Still) -> None:
    page = still().get("/event/5", headers=HTML)
    assert page.status_code == 200
    assert page.text.count("Not known") >= 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_the_platform_in_a_sentence_are_in_its_language(language: str) -> None:
    said = Said("partner.letter", {"reason": "status 422", "address": "0:1", "state": "open"})
    told = sentence(Texts(language), said)
    assert "status 422" in told
    assert ("open" in told) == (language == "en")
