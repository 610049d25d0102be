"""The page Deliveries over real servers: what is shown, found, tested and sent again, by whom."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from engagement_platform.adapters.platform.deliveries import DeliveryTable, Filter
from engagement_platform.console.serve import again
from engagement_platform.console.serve.work import changes
from engagement_platform.domain.delivery.record import Became, content_number
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.adapters.platform.test_deliveries import FAILED, delivery
from engagement_platform_tests.console.serve.conftest import HTML, Still, log_in
from engagement_platform_tests.dead_letters.support import states
from engagement_platform_tests.streaming import drain

Get = Callable[..., str]


@pytest.fixture
def get(client: TestClient) -> Get:
    def get(path: str, status: int = 200, **headers: str) -> str:
        answer = client.get(path, headers=HTML | headers)
        assert answer.status_code == status, answer.text
        return unescape(re.sub(r"\s+", " ", answer.text))

    return get


def keep(settings: Settings, *kept: Any) -> None:
    with DeliveryTable.opened(settings, "test") as table:
        table.keep(kept)


def test_requests_are_listed_counted_and_narrowed(settings: Settings, get: Get) -> None:
    assert "There is no such request." in get("/deliveries")
    keep(settings, delivery(20), delivery(10, ids=(99,), **FAILED), delivery(5, contents=(content_number("d"),)))
    page = get("/deliveries")
    assert "3 requests are meant" in page
    assert page.count('<th scope="row"><a href="/deliveries/') == 3
    for filters, number in (
        ("outcome=again", 1), ("status=2xx", 2), ("event=99", 1), ("event=engagement-event-99", 1), ("event=1", 0),
        ("content=d", 1), ("content=c&outcome=delivered", 1), ("since=2999-01-01", 0), ("until=2999-01-01T00:00", 3),
    ):  # fmt: skip
        assert f"{number} requests are meant" in get(f"/deliveries?{filters}"), filters
    for wrong in ("outcome=x", "status=9", "event=x", "since=x", "before=x"):
        get(f"/deliveries?{wrong}", 400)


def test_one_request_stands_beside_its_answer_and_strangers_text_is_text(settings: Settings, get: Get) -> None:
    keep(
        settings,
        delivery(**FAILED | {"response": "<script>alert(1)</script>", "body": '[{"id":5}]', "body_bytes": 900}),
    )
    number = int(re.findall(r'href="/deliveries/(\d+)', get("/deliveries"))[0])
    shown = get(f"/deliveries/{number}")
    assert '[{"id":5}]' in shown
    assert "Only the beginning is kept." in shown
    assert 'href="/event/7"' in shown
    get("/deliveries/999999", 404)


def test_an_answer_is_never_markup(settings: Settings, client: TestClient) -> None:
    keep(settings, delivery(**FAILED | {"response": "<script>x</script>", "reason": "<b>why</b>", "status": None}))
    for path in ("/deliveries", f"/deliveries/{_first(client)}"):
        page = client.get(path, headers=HTML).text
        assert "<script>" not in page
        assert "<b>" not in page
        assert "&lt;b&gt;why" in page


def _first(client: TestClient) -> str:
    found = re.findall(r'href="/deliveries/(\d+)', client.get("/deliveries", headers=HTML).text)
    return str(found[0])


def test_there_is_a_page_after_the_first(settings: Settings, get: Get) -> None:
    keep(settings, *(delivery(at, request_id=f"{at}") for at in range(51)))
    first = get("/deliveries?outcome=delivered")
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
    assert get(following).count('<th scope="row"><a href="/deliveries/') == 1


def test_it_speaks_arabic_too(settings: Settings, get: Get) -> None:
    keep(settings, delivery())
    page = get("/deliveries", **{"accept-language": "ar"})
    assert 'dir="rtl"' in page
    assert "التسليمات" in page


def test_without_the_database_it_says_so(still: Still) -> None:
    answer = still().get("/deliveries", headers=HTML)
    assert answer.status_code == 503
    assert "The platform database" in answer.text


def fields_of(page: str) -> dict[str, str]:
    """Return the hidden fields of the form of a dry run."""
    (form,) = re.findall(r'<form method="post" action="/deliveries/redrive.*?</form>', page)
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def _count(receiver: Receiver, event_id: int) -> int:
    return [each.key for each in receiver.deliveries].count(f"engagement-event-{event_id}")


def test_a_redrive_from_the_filter_to_its_record(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    assert states(ours) == {2: "open"}
    counted = get("/deliveries/redrive?outcome=dead+letter")
    assert "Log in to change anything" in counted
    form = {"outcome": "dead letter", "before": "999", "letters": "1", "what": "letters", "why": "they have mended it"}
    assert client.post("/deliveries/redrive", data=form).status_code == 401
    token = log_in(client, "ana")
    assert client.post("/deliveries/redrive", data=form | {"form_token": "x"}).status_code == 403
    assert "Redrive the 1 dead letters" in get("/deliveries/redrive?outcome=dead+letter")
    assert states(ours) == {2: "open"}, "a dry run changes nothing"

    done = client.post("/deliveries/redrive", data=form | {"form_token": token}, headers=HTML)
    assert "1 dead letters are redriven, and 0 other events go again." in done.text
    drain(forward.run, ours)
    assert (_count(receiver, 1), _count(receiver, 2)) == (1, 1)
    assert states(ours) == {2: "redriven"}
    (change,) = changes(ours, "redrive")
    assert change.who.startswith("ana from ")
    assert change.detail["why"] == "they have mended it"
    assert change.detail["filter"]["outcome"] == ["dead letter"]
    assert change.outcome == "1 letters redriven, 0 cannot be, 0 events sent"
    assert "1 letters redriven, 0 cannot be, 0 events sent" in get("/deliveries")


def test_of_a_filter_by_an_event_only_that_event_goes_again(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    log_in(client)
    counted = get("/deliveries/redrive?event=1")
    assert "Send all 1 events again" in counted
    form = fields_of(counted) | {"what": "everything", "why": "they lost it"}
    done = client.post("/deliveries/redrive", data=form, headers=HTML)
    assert "0 dead letters are redriven, and 1 other events go again." in done.text
    drain(forward.run, ours)
    assert [_count(receiver, number) for number in (1, 2, 3)] == [2, 0, 1]
    assert states(ours) == {2: "open"}


def test_of_a_filter_by_a_content_it_is_said_that_others_of_its_requests_go_too(ours: Settings, get: Get) -> None:
    warning = "A request holds events of several contents: the others go again, too."
    assert warning in get("/deliveries/redrive?content=c")
    assert warning not in get("/deliveries/redrive?event=1")


def test_everything_of_a_selection_goes_again_with_the_same_keys(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    token = log_in(client)
    counted = get("/deliveries/redrive")
    assert "Send all 3 events again" in counted
    form = fields_of(counted) | {"what": "everything", "why": "they lost it"}
    assert form["form_token"] == token
    done = client.post("/deliveries/redrive", data=form, headers=HTML)
    assert "1 dead letters are redriven, and 2 other events go again." in done.text
    drain(forward.run, ours)
    assert [_count(receiver, number) for number in (1, 2, 3)] == [2, 1, 2]


def test_what_comes_after_the_dry_run_is_not_in_the_selection(ours: Settings, client: TestClient, get: Get) -> None:
    token = log_in(client)
    form = fields_of(get("/deliveries/redrive?outcome=delivered")) | {"what": "everything", "why": "x"}
    keep(ours, delivery(3_600, ids=(2,)))  # by a clock that is behind that of the page
    done = client.post("/deliveries/redrive", data=form, headers=HTML)
    assert "0 dead letters are redriven, and 2 other events go again." in done.text
    assert client.post("/deliveries/redrive", data={"form_token": token, "why": "x"}, headers=HTML).status_code == 400


def test_nothing_is_sent_where_the_selection_is_not_as_it_was_counted(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    log_in(client)
    form = fields_of(get("/deliveries/redrive")) | {"what": "everything", "why": "x", "events": "2"}
    refused = client.post("/deliveries/redrive", data=form, headers=HTML)
    assert refused.status_code == 409
    assert "3 events in place of 2" in refused.text
    assert changes(ours, "redrive") == []
    assert states(ours) == {2: "open"}


def test_a_form_that_is_sent_twice_is_carried_out_once(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    log_in(client)
    form = fields_of(get("/deliveries/redrive?outcome=delivered")) | {"what": "everything", "why": "x"}
    for _ in range(2):
        done = client.post("/deliveries/redrive", data=form, headers=HTML)
        assert "0 dead letters are redriven, and 2 other events go again." in done.text
    drain(forward.run, ours)
    assert [_count(receiver, number) for number in (1, 3)] == [2, 2]
    assert len(changes(ours, "redrive")) == 1


def test_too_much_at_once_is_refused_with_what_to_do(ours: Settings, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(again, "MOST_EVENTS", 2)
        assert "more than 2 events" in get("/deliveries/redrive", 409)
    monkeypatch.setattr(again, "MOST_SENT", 2)
    with monkeypatch.context() as patch:
        patch.setattr(DeliveryTable, "events", lambda *_: pytest.fail("which events it were is not asked"))
        assert "more than 2 events, of repeated requests each time" in get("/deliveries/redrive", 409)
    assert "others, delivered or on their way</dt><dd>1</dd>" in get("/deliveries/redrive?event=1")


def test_a_test_delivery_sends_the_last_event_again_and_is_kept(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    with DeliveryTable.opened(ours, "test") as table:  # the halves of an array are delivered beside each other
        (taken,) = table.newest(Filter(became=[Became.DELIVERED]), 1)
    last = max(taken.ids)  # events of several partitions are not in the order of their ids
    before = _count(receiver, last)
    assert client.post("/deliveries/test", data={}).status_code == 401
    token = log_in(client, "ana")
    sent = client.post("/deliveries/test", data={"form_token": token}, headers=HTML)
    assert "Delivered" in sent.text
    assert "ana from" in sent.text
    assert _count(receiver, last) == before + 1
    receiver.behave(Behaviour("error", status=403))
    refused = client.post("/deliveries/test", data={"form_token": token, "event": "1"}, headers=HTML)
    assert "it forbids us to deliver" in refused.text
    assert [change.outcome for change in changes(ours, "test_delivery")] == [
        "refused: status 403",
        "delivered: status 200",
    ]
    with DeliveryTable.opened(ours, "test") as table:
        newest = table.newest(Filter(), 2)
    assert [(one.became, one.ids) for one in newest] == [(Became.REFUSED, (1,)), (Became.DELIVERED, (last,))]
    assert "There is no event 77" in client.post(
        "/deliveries/test", data={"form_token": token, "event": "77"}, headers=HTML
    ).text.replace("The source has no", "There is no")
    assert client.post("/deliveries/test", data={"form_token": token, "event": "x"}, headers=HTML).status_code == 400


def test_what_the_partner_answered_is_shown_also_where_it_cannot_be_kept(
    ours: Settings, receiver: Receiver, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    token, before = log_in(client), _count(receiver, 1)
    with DeliveryTable.opened(ours, "test") as table:
        table.session.execute("DROP TABLE {schema}.delivery")
    sent = client.post("/deliveries/test", data={"form_token": token, "event": "1"}, headers=HTML)
    assert sent.status_code == 200, sent.text
    assert "Delivered" in sent.text
    assert _count(receiver, 1) == before + 1
    assert "is not kept" in caplog.text
    assert [change.outcome for change in changes(ours, "test_delivery")] == ["delivered: status 200"]


def test_no_secret_is_on_a_page(ours: Settings, client: TestClient) -> None:
    for path in ("/deliveries", f"/deliveries/{_first(client)}", "/deliveries/redrive"):
        page = client.get(path, headers=HTML).text
        assert "postgresql://" not in page
        assert ours.api.url.get_secret_value() not in page
