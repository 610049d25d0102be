"""What an alert looks like to its receiver."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.alert_messages import TEST_SAYS, Links, as_slack, as_webhook, message_of_a_test
from engagement_platform.domain.alerts import Alert
from engagement_platform.domain.conditions import Condition, Kind, Severity

LINKS = Links("https://page.example/", "https://dagster.example")


def alert(*, is_over: bool = False, at: float = 1_200.0, **changed: str) -> Alert:
    texts = {"what": "Tally waits.", "means": "3 events wait.", "todo": "Start Redis.", "page": "", **changed}
    what, means, todo, page = (texts[name] for name in ("what", "means", "todo", "page"))
    kind, severity = Kind.LOOP_STANDS_STILL, Severity.CRITICAL
    one = Condition(kind, severity, "engagement", "Redis", 600.0, what, means, todo, page, ("tally",))
    return Alert("alert_1_over" if is_over else "alert_1", "alert_1", one, at, is_over)


def test_a_webhook_says_what_since_when_how_bad_what_it_means_what_to_do_and_where() -> None:
    assert as_webhook(alert(), LINKS) == {
        "type": "engagement.alert.began",
        "timestamp": "1970-01-01T00:20:00.000Z",
        "data": {
            "alert": "alert_1",
            "kind": "loop_stands_still",
            "severity": "critical",
            "stream": "engagement",
            "subject": "Redis",
            "loops": ["tally"],
            "since": "1970-01-01T00:10:00.000Z",
            "over_at": None,
            "what": "Tally waits.",
            "means": "3 events wait.",
            "todo": "Start Redis.",
            "link": "https://page.example/",
        },
    }


def test_an_end_names_the_alert_that_it_ends() -> None:
    told = as_webhook(alert(is_over=True), LINKS)
    assert told["type"] == "engagement.alert.over"
    assert (told["data"]["alert"], told["data"]["over_at"]) == ("alert_1", "1970-01-01T00:20:00.000Z")


def test_slack_gets_a_text_and_a_block_with_the_same_in_short() -> None:
    told = as_slack(alert(page="/dead-letters"), LINKS)
    assert told["text"] == "\N{LARGE RED CIRCLE} Critical: engagement: Tally waits."
    (block,) = told["blocks"]
    assert block["text"]["type"] == "mrkdwn"
    assert block["text"]["text"].splitlines() == [
        "*\N{LARGE RED CIRCLE} Critical: engagement: Tally waits.*",
        "Since 1970-01-01 00:10:00 UTC. 3 events wait.",
        "What to do: Start Redis.",
        "<https://page.example/dead-letters|Show>",
    ]
    assert as_slack(alert(is_over=True), Links())["text"] == (
        "\N{WHITE HEAVY CHECK MARK} Over after 10 min: engagement: Tally waits."
    )


@given(st.text(max_size=5_000))
def test_no_text_of_a_server_becomes_a_link_or_a_mention_of_slack_or_too_long(text: str) -> None:
    told = as_slack(alert(what=text, means=text, todo=text), Links())
    assert "<" not in json.dumps(told)
    assert not {"<", ">"} & set(told["text"])
    assert (
        len(told["blocks"][0]["text"]["text"].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")) < 3_000
    )


@pytest.mark.parametrize(
    ("page", "links", "link"),
    [
        ("/runs/7", LINKS, "https://dagster.example/runs/7"),
        ("/runs/7", Links("https://p"), "https://p"),
        ("/days", LINKS, "https://page.example/days"),
        ("/days", Links("", "https://d"), "https://d"),
        ("", Links(), ""),
    ],
)
def test_a_link_leads_to_the_page_or_to_dagster_where_they_have_an_address(page: str, links: Links, link: str) -> None:
    assert links.of(alert(page=page).condition) == link


def test_a_test_is_told_apart_from_what_is_wrong() -> None:
    assert message_of_a_test("webhook", LINKS, 0.0)["type"] == "engagement.alert.test"
    assert message_of_a_test("slack", LINKS, 0.0) == {"text": TEST_SAYS}
