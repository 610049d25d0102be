"""The days of the warehouse: how each stands, and backfills of them."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from engagement_platform.console.serve.api.operation import (
    PREFIX,
    Asked,
    OfStream,
    Operation,
    Parameters,
    StreamName,
    settings_of,
)
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.console.serve.backfills import MOST_DAYS, Job, JobState, OtherRequest
from engagement_platform.domain.calendar import Compared, Day, DayState, RebuiltBy, month_of

if TYPE_CHECKING:
    from engagement_platform.settings import Settings


class DaysParameters(OfStream, frozen=True, kw_only=True):
    """A stream and a month."""

    month: (
        Annotated[
            str,
            Meta(
                pattern="^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$",
                description="Such as `2026-03`; by default the present one.",
                examples=["2026-03"],
            ),
        ]
        | None
    ) = None


class Comparison(msgspec.Struct, frozen=True):
    """The last comparison of the day with the source."""

    at: datetime
    run_id: Annotated[str, Meta(description="Dagster's run that compared.")]
    source_rows: int
    table_rows: int
    difference: Annotated[int, Meta(description="Rows that the warehouse has more than the source.")]
    faults: Annotated[
        dict[str, int],
        Meta(
            description="Kind of difference -> events, of those that a rebuild mends: missing, surplus, moved, "
            "doubled, different, changed. Empty: the day equals the source."
        ),
    ]
    warnings: Annotated[
        dict[str, int], Meta(description="The same of what a rebuild does not mend: awaited, unfit, unjoined, …")
    ]


class Rebuild(msgspec.Struct, frozen=True):
    """The latest rebuild of the day."""

    run_id: Annotated[str, Meta(description="Dagster's run.")]
    at: Annotated[datetime, Meta(description="When it was done; of one under way, its last sign of life.")]
    rows: int | None


class LoadsOfDay(msgspec.Struct, frozen=True):
    """The stream's loads of the last days that brought rows to the day."""

    latest: Annotated[str, Meta(description="Id of the latest.")]
    at: datetime
    loads: int


class DayNow(msgspec.Struct, frozen=True):
    """One day of the warehouse."""

    day: date
    state: DayState
    rows: Annotated[int | None, Meta(description="In the warehouse; null where it does not answer.")]
    compared: Comparison | None
    rebuilt: Rebuild | None
    rebuilding: Rebuild | None
    loaded: LoadsOfDay | None
    due: Annotated[str | None, Meta(description="Why the day has to be rebuilt.")]
    by_old_formula: Annotated[bool, Meta(description="Whether another formula than that of now has made it.")]


class DaysNow(msgspec.Struct, frozen=True):
    """The days of a month, up to today; none of a month before the first day that can be rebuilt."""

    stream: str
    month: str
    as_of: datetime
    first_day: Annotated[date, Meta(description="The first day that can be rebuilt.")]
    rows_unknown: Annotated[str, Meta(description="Why the warehouse does not say its rows; mostly empty.")]
    formulas_unknown: Annotated[str, Meta(description="Why it is not known which formula has made which day.")]
    days: list[DayNow]


class BackfillWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Days that are to be rebuilt from the source, with all tables that are made from them."""

    days: Annotated[list[date], Meta(min_length=1, max_length=MOST_DAYS, examples=[["2026-03-01"]])]
    stream: StreamName | None = None
    allow_removal: Annotated[
        bool, Meta(description="Rebuild a day also where that takes a large part of its rows away.")
    ] = False


class BackfillNow(msgspec.Struct, frozen=True):
    """A backfill that was asked for here. How far it is, its days tell: each has the rebuild's run and time."""

    id: str
    stream: str
    days: list[date]
    who: str
    asked_at: datetime
    state: Annotated[JobState, Meta(description="starting, started once Dagster has it, or failed.")]
    backfill_id: Annotated[str | None, Meta(description="Dagster's id of it.")]
    fault: Annotated[str, Meta(description="Why it could not be started.")]


class BackfillsNow(msgspec.Struct, frozen=True):
    """The backfills that were asked for through this process within a day, the newest first."""

    backfills: list[BackfillNow]


class BackfillParameters(Parameters, frozen=True, kw_only=True):
    """One backfill."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="As the start of it returned it.")]


def days(asked: Asked[DaysParameters, None]) -> DaysNow:
    """Return the days of a month."""
    settings = settings_of(asked.site, asked.parameters.stream)
    month = asked.parameters.month or f"{datetime.now(UTC):%Y-%m}"
    first, last = month_of(month)
    read = asked.site.days(settings, first, min(last, datetime.now(UTC).date()))
    return DaysNow(
        stream=settings.stream,
        month=month,
        as_of=read.at,
        first_day=settings.history.first_day,
        rows_unknown=read.rows_unknown,
        formulas_unknown=read.formulas_unknown,
        days=[day_now(one) for one in read.days],
    )


def day_now(one: Day) -> DayNow:
    """Return a day as the API says it."""
    facts = one.facts
    return DayNow(
        day=one.day,
        state=one.state,
        rows=facts.rows,
        compared=None if facts.compared is None else _comparison(facts.compared),
        rebuilt=_rebuild(facts.rebuilt),
        rebuilding=_rebuild(facts.under_way),
        loaded=None if facts.loaded is None else LoadsOfDay(facts.loaded.load_id, facts.loaded.at, facts.loaded.loads),
        due=facts.due,
        by_old_formula=facts.by_old_formula,
    )


def _comparison(one: Compared) -> Comparison:
    return Comparison(
        at=one.at,
        run_id=one.run_id,
        source_rows=one.source_rows,
        table_rows=one.table_rows,
        difference=one.table_rows - one.source_rows,
        faults=dict(one.faults),
        warnings=dict(one.warnings),
    )


def _rebuild(one: RebuiltBy | None) -> Rebuild | None:
    return None if one is None else Rebuild(one.run_id, one.at, one.rows)


def start(asked: Asked[Parameters, BackfillWanted]) -> BackfillNow:
    """Start a backfill."""
    settings = settings_of(asked.site, asked.body.stream)
    require_known(settings, asked.body.days)
    try:
        job = asked.site.backfills.start(
            settings, asked.body.days, asked.who, key=asked.key, allow_removal=asked.body.allow_removal
        )
    except OtherRequest:
        what = "This Idempotency-Key was used for another backfill."
        raise Refusal(409, "key-used", what, "Use a new key for each thing that you want.") from None
    return _backfill(job)


def require_known(settings: "Settings", wanted: list[date]) -> None:
    """Raise Refusal for days that cannot be rebuilt: before the first one that Dagster knows, or after today."""
    first, today = settings.history.first_day, datetime.now(UTC).date()
    strange = [day for day in wanted if not first <= day <= today]
    if strange:
        raise Refusal(
            409,
            "unknown-day",
            f"{strange[0]} cannot be rebuilt: Dagster knows the days from {first} to {today}.",
            f"Choose others, or set {settings.variable_of('first_day')} to an earlier day, for Dagster too.",
        )


def backfill(asked: Asked[BackfillParameters, None]) -> BackfillNow:
    """Return a backfill."""
    job = asked.site.backfills.get(asked.parameters.id)
    if job is None:
        what = f"There is no backfill {asked.parameters.id}, or it was asked for more than a day ago."
        raise Refusal(404, "no-backfill", what, "/api/v1/backfills lists those of this process.")
    return _backfill(job)


def backfills(asked: Asked[OfStream, None]) -> BackfillsNow:
    """Return the backfills."""
    name = asked.parameters.stream and settings_of(asked.site, asked.parameters.stream).stream
    return BackfillsNow([_backfill(job) for job in asked.site.backfills.latest(name)])


def _backfill(job: Job) -> BackfillNow:
    return BackfillNow(
        id=job.id,
        stream=job.stream,
        days=list(job.days),
        who=job.who,
        asked_at=job.asked_at,
        state=job.state,
        backfill_id=job.backfill_id,
        fault=job.fault,
    )


OPERATIONS = (
    Operation("GET", f"{PREFIX}/days", "days", "The days of the warehouse", DaysNow, days, DaysParameters),
    Operation(
        "GET", f"{PREFIX}/backfills", "backfills", "The backfills of this process", BackfillsNow, backfills, OfStream,
        quick=True,
    ),
    Operation(
        "POST", f"{PREFIX}/backfills", "start_backfill", "Rebuild days from the source", BackfillNow, start,
        body=BackfillWanted, status=202, changes=True, keyed=True,
        refusals={
            404: "There is no such stream.",
            409: "A day cannot be rebuilt, or the Idempotency-Key was used for another backfill.",
        },
    ),
    Operation(
        "GET", f"{PREFIX}/backfills/{{id}}", "backfill", "One backfill", BackfillNow, backfill, BackfillParameters,
        quick=True, refusals={404: "There is none of that id."},
    ),
)  # fmt: skip
