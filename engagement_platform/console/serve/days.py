"""The page Days: the calendar of the warehouse, and the backfill of days that were chosen there.

Everything works by links and forms. Choosing is a form that asks (GET); what it would do is said on a page of its own,
whose form starts it (POST, with the session's token). What was started has a page that loads itself again.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engagement_platform.adapters.streams import stream_of
from engagement_platform.console.serve.backfills import MOST_DAYS, Job, JobState, OtherRequest
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.serve.security import lists_of
from engagement_platform.console.serve.site import Link, Site, query
from engagement_platform.console.serve.texts import Texts
from engagement_platform.console.serve.work import in_thread
from engagement_platform.domain.calendar import Day, DayFacts, DayState, calendar, month_of
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.days import ONE_DAY, consecutive
from engagement_platform.domain.stream_names import aimed
from engagement_platform.settings import Settings, about

LINK = Link("/days", "days.link")
SIGNS: Mapping[DayState, str] = {
    DayState.REBUILDING: "↻",
    DayState.FAILED: "✗",
    DayState.STALE: "!",
    DayState.REBUILT: "✓",
    DayState.LIVE: "●",
    DayState.NEVER: "○",
    DayState.UNKNOWN: "?",
}
TONES: Mapping[DayState, str] = {
    DayState.REBUILDING: "moves",
    DayState.FAILED: "critical",
    DayState.STALE: "warning",
    DayState.REBUILT: "well",
    DayState.LIVE: "moves",
    DayState.NEVER: "idle",
    DayState.UNKNOWN: "unknown",
}
"""The colours of the states, beside sign and word."""
NEEDED = (DayState.FAILED, DayState.STALE)
"""States of days that somebody should rebuild."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A day as the page shows it."""

    day: Day
    sign: str
    can_choose: bool
    is_chosen: bool
    is_to_come: bool = False

    @property
    def is_outdated(self) -> bool:
        """Whether the day was rebuilt after its last comparison."""
        rebuilt, compared = self.day.facts.rebuilt, self.day.facts.compared
        return rebuilt is not None and compared is not None and rebuilt.at > compared.at


def days_in_words(days: Iterable[date], texts: Texts) -> str:
    """Return days in short, the consecutive ones by their first and last."""
    runs = [[texts.isolated(day) for day in (run[0], run[-1])] for run in consecutive(days)]
    return texts("days.and").join(
        first if first == last else texts("days.span", first=first, last=last) for first, last in runs
    )


def weeks_of(cells: Sequence[Cell]) -> list[list[Cell | None]]:
    """Return the cells of a month in rows from Monday to Sunday; None where a week belongs to another month."""
    padded: list[Cell | None] = [*[None] * cells[0].day.day.weekday(), *cells]
    padded += [None] * (-len(padded) % 7)
    return [padded[at : at + 7] for at in range(0, len(padded), 7)]


def summary_of(days: Iterable[Day], rows_unknown: str, texts: Texts) -> tuple[str, str]:
    """Return how bad the month is, as the colour is called, and the sentence that comes first.

    `rows_unknown` says why the warehouse could not be read, if it could not: then a day may need what nobody knows of.
    """
    days = list(days)
    states = {state: [one.day for one in days if one.state is state] for state in NEEDED}
    if failed := states.get(DayState.FAILED):
        return "critical", texts("days.summary.failed", days=days_in_words(failed, texts))
    if stale := states.get(DayState.STALE):
        return "warning", texts("days.summary.stale", days=days_in_words(stale, texts))
    if rows_unknown or any(one.state is DayState.UNKNOWN for one in days):
        return "unknown", texts("days.summary.unknown")
    return "well", texts("days.summary.well")


def months_beside(first: date, last: date, earliest: date, latest: date) -> tuple[str, str]:
    """Return the month before and the one after, as a URL names them; empty where there is none to look at."""
    before = f"{first - ONE_DAY:%Y-%m}" if first > earliest else ""
    return before, f"{last + ONE_DAY:%Y-%m}" if last < latest else ""


def chosen_days(fields: Mapping[str, Sequence[str]]) -> tuple[list[date], list[str]]:
    """Return the days that a form names, ascending, and what in it is none.

    `day` are days; `since` and `until` stand for all days from the one to the other.
    """
    days: set[date] = set()
    wrong: list[str] = []
    for text in fields.get("day", ()):
        try:
            days.add(date.fromisoformat(text))
        except ValueError:
            wrong.append(text[:20])
    ends = [text for name in ("since", "until") for text in fields.get(name, ())[:1] if text]
    if ends:
        with suppress(ValueError, OverflowError):
            first, last = date.fromisoformat(ends[0]), date.fromisoformat(ends[-1])
            return sorted(days | _between(first, last)), wrong
        wrong += [text[:20] for text in ends]
    return sorted(days), wrong


def _between(first: date, last: date) -> set[date]:
    """Return the days; of a span that is much too long only so many that it is seen to be."""
    count = min((last - first).days, MOST_DAYS)
    if count < 0:
        raise ValueError
    return {first + timedelta(days=n) for n in range(count + 1)}


def commands_of(days: Sequence[date]) -> list[str]:
    """Return the commands that rebuild days from a shell."""
    return [
        aimed(f"engagement-platform backfill --since {run[0]} --until {run[-1]}T23:59:59") for run in consecutive(days)
    ]


def progress_of(job: Job, days: Iterable[Day]) -> Mapping[date, str]:
    """Return how far each day of a job is: waits, runs or done. A day is done once it was rebuilt after the asking."""
    wanted = set(job.days)
    return {one.day: _progress(job, one) for one in days if one.day in wanted}


def _progress(job: Job, day: Day) -> str:
    rebuilt = day.facts.rebuilt
    if rebuilt is not None and rebuilt.opened_at >= job.asked_at:
        return "done"
    return "runs" if day.facts.under_way is not None else "waits"


class Pages:
    """The pages, over what the site shares."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def month(self, request: Request) -> Response:
        """Show a month."""
        settings, texts = self._site.settings(request), self._site.texts(request)
        today = datetime.now(UTC).date()
        first, last = _month(request.query_params.get("month") or f"{today:%Y-%m}")
        read = await in_thread(settings, lambda: self._site.days(settings, first, min(last, today)))
        cells = [_cell(one, settings, today, request.query_params.get("choose", "")) for one in read.days]
        cells += _to_come(max(first, today + ONE_DAY) if cells else first, last)
        tone, sentence = summary_of(read.days, read.rows_unknown, texts)
        before, after = months_beside(first, last, settings.history.first_day, today)
        counts = {state: sum(one.state is state for one in read.days) for state in DayState}
        return self._site.render(
            request,
            "days.html",
            month=f"{first:%Y-%m}",
            before=before,
            after=after,
            tone=tone,
            sentence=sentence,
            weeks=weeks_of(cells),
            cells=cells,
            tones=TONES,
            states=[(state, SIGNS[state], count) for state, count in counts.items() if count],
            read=read,
            as_of=texts.isolated(texts.moment(read.at.timestamp())),
            moment=lambda at: texts.isolated(texts.moment(at.timestamp())),
            first_day=settings.history.first_day,
            today=today,
            jobs=self._site.backfills.latest(settings.stream)[:5],
            **self._links(settings),
        )

    async def confirm(self, request: Request) -> Response:
        """Say which days are meant and what it means to rebuild them."""
        settings, texts = self._site.settings(request), self._site.texts(request)
        fields = {name: request.query_params.getlist(name) for name in ("day", "since", "until")}
        days, fault = _fit(fields, settings, texts)
        with about(settings.stream):
            commands = commands_of(days)
        return self._site.render(
            request,
            "days/confirm.html",
            400 if fault else 200,
            days=days,
            in_words=days_in_words(days, texts),
            fault=fault,
            commands=commands,
            key=secrets.token_urlsafe(18),
            back=f"/days{query(stream=self._named(settings), month=f'{days[0]:%Y-%m}' if days else '')}",
        )

    async def start(self, request: Request) -> Response:
        """Start the backfill."""
        who = str(await self._site.guard.actor(request))
        fields = await lists_of(request)
        settings = self._site.settings_of(self._stream(fields))
        days, fault = _fit(fields, settings, self._site.texts(request))
        if fault:
            raise HTTPException(400, fault)
        key = (fields.get("key") or [""])[-1][:100] or None
        try:
            start = partial(self._site.backfills.start, key=key, allow_removal="allow_removal" in fields)
            job = await in_thread(settings, lambda: start(settings, days, who), changes=True)
        except OtherRequest:
            raise PageRefusal(409, "sent_before") from None
        return RedirectResponse(f"/days/backfills/{job.id}", 303)

    async def job(self, request: Request) -> Response:
        """Show how far a backfill is."""
        texts = self._site.texts(request)
        job = self._site.backfills.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, texts("days.job.gone"))
        settings = self._site.settings_of(job.stream)
        read = await in_thread(settings, lambda: self._site.days(settings, job.days[0], job.days[-1]))
        progress = progress_of(job, read.days)
        done = sum(state == "done" for state in progress.values())
        ended = self._ended(job)
        is_over = job.state is JobState.FAILED or done == len(job.days) or bool(ended)
        return self._site.render(
            request,
            "days/job.html",
            job=job,
            asked=texts.isolated(texts.moment(job.asked_at.timestamp())),
            progress=progress,
            done=done,
            ended=ended,
            is_over=is_over,
            back=f"/days{query(stream=self._named(settings), month=f'{job.days[0]:%Y-%m}')}",
            **self._links(settings),
        )

    def _ended(self, job: Job) -> str:
        """Return how a backfill has ended, as Dagster says; empty while it has not, and where that is not known."""
        dagster = self._site.sampler.look().dagster
        backfills = dagster.backfills if isinstance(dagster, DagsterFacts) else ()
        return next((one.status.value for one in backfills if one.backfill_id == job.backfill_id and one.has_ended), "")

    def _stream(self, fields: Mapping[str, Sequence[str]]) -> str:
        """Return the stream that a form names. Raises HTTPException for one that there is not."""
        name = (fields.get("stream") or [""])[-1]
        if name not in self._site.streams:
            raise PageRefusal(400, "no_stream", name=name[:40], names=", ".join(self._site.streams))
        return name

    def _named(self, settings: Settings) -> str:
        """Return what a link says of the stream: nothing where there is one only."""
        return settings.stream if len(self._site.streams) > 1 else ""

    def _links(self, settings: Settings) -> dict[str, Any]:
        """Return where Dagster shows a run, a day and a backfill: bases of links, empty where it is not known."""
        base = self._site.dagster_url.rstrip("/")
        table = quote(stream_of(settings).table)
        return {
            "run_url": f"{base}/runs/" if base else "",
            "day_url": f"{base}/assets/warehouse/{table}?view=partitions&partition=" if base else "",
            "backfill_url": f"{base}/runs/b/" if base else "",
        }


def _month(text: str) -> tuple[date, date]:
    try:
        return month_of(text)
    except ValueError:
        raise PageRefusal(400, "no_month", text=text[:20]) from None


def _cell(day: Day, settings: Settings, today: date, choose: str) -> Cell:
    can_choose = settings.history.first_day <= day.day <= today
    is_chosen = can_choose and (choose == "all" or (choose == "needed" and day.state in NEEDED))
    return Cell(day, SIGNS[day.state], can_choose, is_chosen)


def _to_come(first: date, last: date) -> list[Cell]:
    """Return the days of the month of which nothing is shown: after today, or of a month before all history."""
    days = calendar({}, first, last, DayFacts(rows=0))
    return [Cell(day, "", can_choose=False, is_chosen=False, is_to_come=True) for day in days]


def _fit(fields: Mapping[str, Sequence[str]], settings: Settings, texts: Texts) -> tuple[list[date], str]:
    """Return the days that a form names, and why they cannot be rebuilt; empty where they can."""
    days, wrong = chosen_days(fields)
    first, last = settings.history.first_day, datetime.now(UTC).date()
    wrong += [f"{day}" for day in days if not first <= day <= last]
    if wrong:
        named = texts("days.and").join(texts.isolated(text) for text in wrong[:5])
        return days, texts("days.confirm.wrong", days=named, first=texts.isolated(first), last=texts.isolated(last))
    if len(days) > MOST_DAYS:
        return days, texts("days.confirm.many", n=len(days), most=MOST_DAYS)
    return days, "" if days else texts("days.confirm.nothing")


def routes(site: Site) -> Sequence[BaseRoute]:
    """Return the routes of the page."""
    pages = Pages(site)
    return [
        Route("/days", pages.month),
        Route("/days/confirm", pages.confirm),
        Route("/days/backfill", pages.start, methods=["POST"]),
        Route("/days/backfills/{id}", pages.job),
    ]
