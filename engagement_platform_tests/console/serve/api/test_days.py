"""The days of the warehouse in the API and on the page, over days that a test made; and that both say the same."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from engagement_platform.adapters.platform.audit import Outcome
from engagement_platform.console.serve import backfills as jobs
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.backfills import MOST_DAYS, Backfills
from engagement_platform.console.serve.calendars import Formulas, Read
from engagement_platform.console.serve.days import summary_of
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.console.serve.texts import Texts
from engagement_platform.domain.calendar import DayFacts, RebuiltBy, calendar, month_of
from engagement_platform.domain.dagster_facts import Backfill, BackfillStatus, DagsterFacts, DayStatus, Table
from engagement_platform.domain.dagster_facts import Day as DagsterDay
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.console.serve.api.samples import sample
from engagement_platform_tests.console.serve.conftest import HOME, HTML, NOWHERE, TOKEN, StillSampler, log_in
from engagement_platform_tests.console.serve.days_made import AT, FACTS, Fixed, Launches, recorded
from engagement_platform_tests.streaming import wait_for

BEARER = {"authorization": f"Bearer {TOKEN}", "x-actor": "me"}
STATES = {
    "2026-03-01": "rebuilt", "2026-03-02": "failed_check", "2026-03-03": "stale", "2026-03-04": "live",
    "2026-03-05": "rebuilding", "2026-03-06": "stale", "2026-03-07": "never",
}  # fmt: skip


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    """Nothing is recorded here: that has a test over a real database."""
    made = Launches()
    made.may_answer.set()

    monkeypatch.setattr(jobs, "_recorded", recorded)
    return made


@pytest.fixture
def site(launches: Launches) -> Site:
    streams: dict[str, Settings | EngagementError] = {"engagement": NOWHERE}
    made = Site(streams, StillSampler(sample()), Guard(TOKEN), "http://127.0.0.1:3000")
    made.calendars, made.backfills = Fixed(), Backfills(launches)
    return made


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(create_app(site), base_url=HOME, follow_redirects=False) as client:
        yield client


def test_a_month_of_days(client: TestClient) -> None:
    told = client.get("/api/v1/days?month=2026-03").json()
    assert (told["month"], told["first_day"], len(told["days"])) == ("2026-03", "2024-01-01", 31)
    by_day = {one["day"]: one for one in told["days"]}
    assert {day: by_day[day]["state"] for day in STATES} == STATES
    assert by_day["2026-03-02"]["compared"] == {
        "at": "2026-03-20T01:00:00Z", "run_id": "run-failed", "source_rows": 9, "table_rows": 5, "difference": -4,
        "faults": {"missing": 4}, "warnings": {"unfit": 1},
    }  # fmt: skip
    assert by_day["2026-03-01"]["rebuilt"] == {"run_id": "run-rebuilt", "at": "2026-03-20T01:00:00Z", "rows": 7}
    assert by_day["2026-03-04"]["loaded"] == {"latest": "load-7", "at": "2026-03-20T01:00:00Z", "loads": 12}
    assert by_day["2026-03-03"]["due"] == "the source was restored"
    assert by_day["2026-03-06"]["by_old_formula"]


def test_the_present_month_is_the_usual_one(client: TestClient) -> None:
    assert client.get("/api/v1/days").json()["month"] == f"{datetime.now(UTC):%Y-%m}"


def page_of(client: TestClient, path: str, language: str = "en") -> str:
    answer = client.get(path, headers=HTML | {"accept-language": language})
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize("language", ["en", "ar"])
def test_page_and_api_say_the_same_of_each_day(client: TestClient, language: str) -> None:
    told = client.get("/api/v1/days?month=2026-03").json()["days"]
    shown = re.findall(
        r'<td class="day-(\w+) \w+">.*?name="day" value="([\d-]+)"',
        page_of(client, "/days?month=2026-03", language),
        re.DOTALL,
    )
    assert [(day, state) for state, day in shown] == [(one["day"], one["state"]) for one in told]


def test_a_day_is_said_in_words_and_signs_with_its_rows_and_difference(client: TestClient) -> None:
    page = page_of(client, "/days?month=2026-03")
    assert "Days that differ from the source: 2026-03-02. Rebuild them." in page
    for words in (
        "failed check",
        "✗",
        "-4 rows against the source",
        "4 missing",
        "1 with a value that no row can hold",
    ):
        assert words in page
    assert "Filled by the stream until 2026-03-20 01:00:00 UTC: 12 loads, the last one load-7" in page
    assert "Has to be rebuilt: the source was restored" in page


def test_dates_are_not_turned_around_where_the_language_runs_from_right_to_left(client: TestClient) -> None:
    page = page_of(client, "/days?month=2026-03", "ar")
    assert "\u20682026-03-02\u2069. أعد بناءها." in page
    assert "\u2068-4\u2069 صف" in page
    assert "\u20682026-03-20 01:00:00 UTC\u2069" in page
    assert "\u2068" not in page_of(client, "/days?month=2026-03")


def test_days_and_runs_lead_to_dagster_where_it_is_known(client: TestClient, site: Site) -> None:
    page = page_of(client, "/days?month=2026-03")
    assert 'href="http://127.0.0.1:3000/runs/run-rebuilt"' in page
    assert (
        'href="http://127.0.0.1:3000/assets/warehouse/engagement_events?view=partitions&amp;partition=2026-03-01"'
        in page
    )
    site.dagster_url = ""
    assert "/runs/" not in page_of(client, "/days?month=2026-03")


def test_what_cannot_be_known_is_said(client: TestClient, site: Site) -> None:
    site.calendars = Fixed(rows_unknown="BigQuery does not answer.")
    assert "BigQuery does not answer." in page_of(client, "/days?month=2026-03")
    assert client.get("/api/v1/days?month=2026-03").json()["rows_unknown"] == "BigQuery does not answer."


def test_a_month_of_which_not_all_can_be_read_is_not_one_that_needs_nothing(client: TestClient, site: Site) -> None:
    site.calendars = Fixed(facts={}, rows_unknown="BigQuery does not answer.")
    page = page_of(client, "/days?month=2026-03")
    assert "No day of this month needs anything." not in page
    assert '<section class="sentence unknown">' in page
    first, last = month_of("2026-03")
    for nothing, tone in ((DayFacts(), "unknown"), (DayFacts(rows=0), "well")):
        assert summary_of(calendar({}, first, last, nothing), "", Texts("en"))[0] == tone
    failed = calendar(FACTS, first, last, DayFacts())
    assert summary_of(failed, "BigQuery does not answer.", Texts("en"))[0] == "critical", "what is known comes first"


@pytest.mark.parametrize(
    ("choose", "chosen"), [("needed", ["02", "03", "06"]), ("all", [f"{n:02}" for n in range(1, 32)]), ("", [])]
)
def test_days_can_be_chosen_without_a_script(client: TestClient, choose: str, chosen: list[str]) -> None:
    page = page_of(client, f"/days?month=2026-03&choose={choose}")
    checked = re.findall(r'value="2026-03-(\d\d)"[^>]* checked', page)
    assert checked == chosen


def test_days_that_dagster_does_not_know_cannot_be_chosen(client: TestClient) -> None:
    page = page_of(client, "/days?month=2023-12&choose=all")
    assert len(re.findall(" disabled", page)) == 31
    assert " checked" not in page


@pytest.mark.parametrize(
    ("month", "before", "after"),
    [("2024-01", "", "2024-02"), ("2026-03", "2026-02", "2026-04"), (f"{datetime.now(UTC):%Y-%m}", None, "")],
)
def test_months_lead_to_those_beside_them(client: TestClient, month: str, before: str | None, after: str) -> None:
    page = page_of(client, f"/days?month={month}")
    for name, beside in (("prev", before), ("next", after)):
        links = re.findall(rf'rel="{name}" href="/days\?month=([\d-]+)"', page)
        assert beside is None or links == ([beside] if beside else [])


def test_days_to_come_have_no_state(client: TestClient) -> None:
    today = datetime.now(UTC).date()
    to_come = month_of(f"{today:%Y-%m}")[1].day - today.day
    assert page_of(client, "/days").count('<td class="to-come">') == to_come
    assert client.get("/api/v1/days").json()["days"][-1]["day"] == str(today)
    later = f"{today.year + 1}-01"
    assert client.get(f"/api/v1/days?month={later}").json()["days"] == []
    assert page_of(client, f"/days?month={later}").count('<td class="to-come">') == 31


@pytest.mark.parametrize("month", ["2026-13", "nonsense", "2026-3"])
def test_what_is_no_month_is_refused(client: TestClient, month: str) -> None:
    assert client.get(f"/days?month={month}", headers=HTML).status_code == 400
    assert client.get(f"/api/v1/days?month={month}").status_code == 400


def test_the_confirmation_says_which_days_and_what_it_means(client: TestClient) -> None:
    log_in(client)
    page = page_of(client, "/days/confirm?day=2026-03-03&day=2026-03-02&day=2026-03-06")
    assert "Days: 3. 2026-03-02 to 2026-03-03, 2026-03-06." in page
    assert "replaced in the warehouse in one step" in page
    assert re.findall(r'name="day" value="([\d-]+)"', page) == ["2026-03-02", "2026-03-03", "2026-03-06"]
    assert 'name="form_token"' in page


def test_a_span_over_months_can_be_chosen(client: TestClient) -> None:
    log_in(client)
    page = page_of(client, "/days/confirm?since=2026-02-27&until=2026-03-02")
    assert "Days: 4. 2026-02-27 to 2026-03-02." in page


def test_without_a_session_the_confirmation_starts_nothing_and_says_how_to(client: TestClient, site: Site) -> None:
    page = page_of(client, "/days/confirm?day=2026-03-02&day=2026-03-03")
    assert "<form" not in page.partition("<main")[2]
    assert 'href="/login?back=%2Fdays%2Fconfirm' in page
    site.guard = Guard(None)
    with TestClient(create_app(site), base_url=HOME) as without:
        page = page_of(without, "/days/confirm?day=2026-03-02&day=2026-03-03")
    assert "engagement-platform backfill --since 2026-03-02 --until 2026-03-03T23:59:59" in page
    assert "ENGAGEMENT_PAGE_TOKEN" in page


TOMORROW = datetime.now(UTC).date() + timedelta(days=1)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "No day was chosen."),
        ("day=yesterday", "These are no days that can be rebuilt: yesterday."),
        ("day=2023-12-31", "2023-12-31. Dagster knows the days from 2024-01-01"),
        (f"day={TOMORROW}", f"{TOMORROW}. Dagster knows the days from 2024-01-01"),
        ("since=2026-03-02&until=2026-03-01", "These are no days that can be rebuilt: 2026-03-02, 2026-03-01."),
        ("since=0001-01-01&until=9999-12-31", "These are no days that can be rebuilt: 0001-01-01"),
    ],
)  # fmt: skip
def test_days_that_cannot_be_rebuilt_are_named(client: TestClient, query: str, said: str) -> None:
    answer = client.get(f"/days/confirm?{query}", headers=HTML)
    assert answer.status_code == 400
    assert said in answer.text


def start(client: TestClient, *days: str, **fields: str) -> str:
    token = log_in(client)
    form = {"form_token": token, "stream": "engagement", "day": list(days), **fields}
    answer = client.post("/days/backfill", data=form, headers={"origin": HOME})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_a_backfill_goes_from_the_form_to_its_end(client: TestClient, site: Site, launches: Launches) -> None:
    launches.may_answer.clear()
    where = start(client, "2026-03-02", "2026-03-03", allow_removal="on")
    page = page_of(client, where)
    assert "Dagster is being asked" in page
    assert 'http-equiv="refresh"' in page
    launches.may_answer.set()
    wait_for(lambda: "Done: 0 of 2 days" in page_of(client, where), "Dagster's id")
    assert launches.asked == [((date(2026, 3, 2), date(2026, 3, 3)), "me from testclient", True)]
    later = datetime.now(UTC) + timedelta(seconds=5)
    assert isinstance(site.calendars, Fixed)
    site.calendars.facts[date(2026, 3, 2)] = DayFacts(rows=9, rebuilt=RebuiltBy("r", later, later, 9))
    site.calendars.facts[date(2026, 3, 3)] = DayFacts(rows=9, under_way=RebuiltBy("r", later, later))
    page = page_of(client, where)
    assert "Done: 1 of 2 days" in page
    assert 'href="http://127.0.0.1:3000/runs/b/bmyxgkqp"' in page
    assert re.findall(r'class="job-(\w+)"', page) == ["done", "runs"]
    site.calendars.facts[date(2026, 3, 3)] = DayFacts(rows=9, rebuilt=RebuiltBy("r", later, later, 9))
    page = page_of(client, where)
    assert "All 2 days are rebuilt." in page
    assert 'http-equiv="refresh"' not in page
    assert where in page_of(client, "/days?month=2026-03")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (BackfillStatus.FAILED, "It has failed. 0 of 1 days are rebuilt"),
        (BackfillStatus.CANCELED, "It was ended. 0 of 1 days are rebuilt"),
        (BackfillStatus.COMPLETED, "It has ended. 0 of 1 days are rebuilt"),
        (BackfillStatus.CANCELING, "Done: 0 of 1 days"),
    ],
)
def test_a_backfill_that_has_ended_in_dagster_is_not_waited_for(
    client: TestClient, site: Site, status: BackfillStatus, said: str
) -> None:
    where = start(client, "2026-03-02")
    wait_for(lambda: "Done: 0 of 1 days" in page_of(client, where), "Dagster's id")
    known = [Backfill(name, status, 0.0, None, "", "") for name in ("another", "bmyxgkqp")]
    site.sampler.latest = replace(site.sampler.latest, dagster=DagsterFacts(0.0, backfills=known))
    page = page_of(client, where)
    assert said in page
    assert ('http-equiv="refresh"' in page) == (status is BackfillStatus.CANCELING)


def test_days_of_another_formula_are_those_that_the_sample_knows_of_dagster(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Formulas] = []

    def read(*what: object) -> Read:
        formulas = what[-1]
        assert isinstance(formulas, Formulas)
        asked.append(formulas)
        return Read(AT, (), "", "")

    monkeypatch.setattr(Fixed, "read", read)
    table = Table("t", "engagement", "warehouse/t", {"2026-03-02": DagsterDay(DayStatus.MATERIALIZED, is_stale=True)})
    site.sampler.latest = replace(site.sampler.latest, dagster=DagsterFacts(0.0, tables=[table]))
    client.get("/api/v1/days?month=2026-03")
    assert asked == [Formulas(frozenset({date(2026, 3, 2)}))]


def test_a_backfill_that_dagster_refuses_says_why(client: TestClient, launches: Launches) -> None:
    launches.refusal = EngagementError("Dagster's daemon does not run.", "Start it.")
    where = start(client, "2026-03-02")
    wait_for(lambda: "Dagster&#39;s daemon does not run. Start it." in page_of(client, where), "the reason")


def test_a_form_that_is_sent_twice_starts_one_backfill(client: TestClient, launches: Launches) -> None:
    first = start(client, "2026-03-02", key="k1")
    assert start(client, "2026-03-02", key="k1") == first
    token = log_in(client)
    form = {"form_token": token, "stream": "engagement", "day": "2026-03-03", "key": "k1"}
    assert client.post("/days/backfill", data=form).status_code == 409
    wait_for(lambda: launches.asked, "the launch")
    assert len(launches.asked) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"form_token": "of another"}, 403), ({"stream": "visits"}, 400), ({"day": []}, 400), ({"day": "none"}, 400),
        ({"day": [str(date(2024, 1, 1) + timedelta(days=n)) for n in range(MOST_DAYS + 1)]}, 400),
    ],
)  # fmt: skip
def test_a_form_that_is_not_fit_starts_nothing(
    client: TestClient, launches: Launches, fields: dict[str, object], status: int
) -> None:
    form = {"form_token": log_in(client), "stream": "engagement", "day": "2026-03-02"} | fields
    assert client.post("/days/backfill", data=form).status_code == status
    assert client.get("/api/v1/backfills").json()["backfills"] == []


def test_without_a_session_no_form_starts_anything(client: TestClient) -> None:
    form = {"stream": "engagement", "day": "2026-03-02"}
    assert client.post("/days/backfill", data=form).status_code == 401


def post(client: TestClient, body: object, **headers: str) -> tuple[int, dict[str, object]]:
    answer = client.post("/api/v1/backfills", json=body, headers=BEARER | headers)
    return answer.status_code, answer.json()


def test_a_backfill_by_the_api(client: TestClient, launches: Launches) -> None:
    status, told = post(client, {"days": ["2026-03-03", "2026-03-02", "2026-03-03"]})
    assert (status, told["state"], told["days"]) == (202, "starting", ["2026-03-02", "2026-03-03"])
    path = f"/api/v1/backfills/{told['id']}"
    wait_for(lambda: client.get(path).json()["state"] == "started", "the launch")
    assert client.get(path).json()["backfill_id"] == "bmyxgkqp"
    assert [one["id"] for one in client.get("/api/v1/backfills").json()["backfills"]] == [told["id"]]
    assert launches.asked[0][1:] == ("me from testclient", False)


def test_a_request_that_comes_again_with_its_key_is_the_same(client: TestClient, launches: Launches) -> None:
    body = {"days": ["2026-03-02"]}
    key = {"idempotency-key": "k1"}
    first = post(client, body, **key)[1]["id"]
    assert post(client, body, **key)[1]["id"] == first
    status, told = post(client, {"days": ["2026-03-03"]}, **key)
    assert (status, told["type"]) == (409, "urn:engagement-platform:problem:key-used")
    assert post(client, body)[1]["id"] != first


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"days": []}, 400), ({"days": ["nonsense"]}, 400), ({}, 400), ({"days": ["2023-12-31"]}, 409),
        ({"days": [str(TOMORROW)]}, 409), ({"days": ["2026-03-02"], "stream": "visits"}, 404),
        ({"days": ["2026-03-02"], "rows": 1}, 400),
    ],
)  # fmt: skip
def test_a_backfill_that_is_not_fit_is_refused(client: TestClient, body: object, status: int) -> None:
    assert post(client, body)[0] == status


def test_what_cannot_be_recorded_is_not_done(
    client: TestClient, launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def away(*_: object) -> Iterator[tuple[Outcome, datetime]]:
        raise Unavailable("The platform database does not answer.")
        yield

    monkeypatch.setattr(jobs, "_recorded", away)
    status, told = post(client, {"days": ["2026-03-02"]}, **{"idempotency-key": "k1"})
    assert (status, told["detail"]) == (503, "The platform database does not answer.")
    assert (launches.asked, client.get("/api/v1/backfills").json()["backfills"]) == ([], [])


def test_a_backfill_that_there_is_not(client: TestClient) -> None:
    assert client.get("/days/backfills/0000000000000000", headers=HTML).status_code == 404
    assert client.get("/api/v1/backfills/0000000000000000").status_code == 404
