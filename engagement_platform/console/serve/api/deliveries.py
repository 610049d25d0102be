"""The last requests to the partner beside its answers, a test delivery, and sending their events again."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engagement_platform.adapters.platform.deliveries import Filter
from engagement_platform.console.serve import again
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
from engagement_platform.console.serve.api.times import EventText, NumberText, Time, moment_of, number_of, told
from engagement_platform.console.serve.api.trace import EventId
from engagement_platform.console.serve.deliveries import listed, one_delivery, redriven, tested
from engagement_platform.domain.delivery.record import Became, Delivery
from engagement_platform.settings import about

Outcome = Literal["delivered", "again", "halved", "dead letter", "refused"]
StatusClass = Literal["2xx", "3xx", "4xx", "5xx", "none"]
"""Both are held against `domain.delivery.record` by a test."""
RequestNumber = Annotated[int, Meta(ge=1, le=(1 << 63) - 1, description="The number of a request.")]
Text = Annotated[str, Meta(max_length=500, pattern="^[^\\x00]*$")]
Key = Annotated[Text, Meta(description="The key of the events' content.")]
MOST = 500


class DeliveriesParameters(OfStream, frozen=True, kw_only=True):
    """Which requests are meant: those for which everything holds that is given."""

    outcome: Annotated[Outcome | UnsetType, Meta(description="What became of the events.")] = UNSET
    status: Annotated[StatusClass | UnsetType, Meta(description="The class of the answer's status.")] = UNSET
    since: Time | UnsetType = UNSET
    until: Annotated[Time | UnsetType, Meta(description="The time before which they were made.")] = UNSET
    event: EventId | UnsetType = UNSET
    content: Key = ""
    before: Annotated[RequestNumber | UnsetType, Meta(description="The number below which they are listed.")] = UNSET
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many are listed, at most.")] = 50


class DeliveryNow(msgspec.Struct, frozen=True):
    """One request to the partner, and its answer."""

    number: Annotated[int, Meta(description="Ascending; 0 of a test that is not kept.")]
    begun_at: datetime
    seconds: Annotated[float, Meta(description="Until there was an answer, or it was known that none comes.")]
    request_id: Annotated[str, Meta(description="The header `webhook-id`.")]
    events: Annotated[list[int], Meta(description="The ids of the events, in the order of the request.")]
    tries: Annotated[int, Meta(description="Which try of just these events it was.")]
    is_probe: Annotated[bool, Meta(description="Whether it was made to see if the partner is back.")]
    outcome: Outcome
    status: Annotated[int | None, Meta(description="Null without an answer.")]
    reason: str
    response: Annotated[str, Meta(description="The beginning of the answer's body: the partner's text.")]
    body: Annotated[str | None, Meta(description="The beginning of what was sent; null where it was not kept.")]
    body_bytes: Annotated[int, Meta(description="How long the whole body was.")]
    by: Annotated[str, Meta(description="`forward`, or who made a test.")]


class CountNow(msgspec.Struct, frozen=True):
    """How many of the requests have had the same outcome."""

    outcome: Outcome
    status: StatusClass
    requests: int
    events: int


class DeliveriesNow(msgspec.Struct, frozen=True):
    """The newest of the requests that are meant, the newest first."""

    stream: str
    kept_since: Annotated[datetime | None, Meta(description="The oldest request that is kept.")]
    counts: Annotated[list[CountNow], Meta(description="Of all that are meant, whatever `limit` and `before`.")]
    deliveries: list[DeliveryNow]


class DeliveryParameters(OfStream, frozen=True, kw_only=True):
    """One request."""

    number: RequestNumber


class TestWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test delivery: one event goes to the partner at once, with the key that it has in the stream."""

    stream: StreamName | None = None
    event: Annotated[EventText | None, Meta(description="By default the last one that the partner took.")] = None


class DeliveriesAgain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests whose events are to be sent again; without `dry_run: false` they are counted only."""

    why: Annotated[str, Meta(min_length=1, max_length=500, pattern="^[^\\x00]*$", description="For the record.")]
    stream: StreamName | None = None
    outcome: Outcome | None = None
    status: StatusClass | None = None
    since: Time | None = None
    until: Time | None = None
    event: EventText | None = None
    content: Key = ""
    numbers: Annotated[list[NumberText], Meta(max_length=MOST)] = []
    before: Annotated[
        NumberText | None, Meta(description="The number below which the requests are, as the counting returned it.")
    ] = None
    counted: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Send only where it is so many: events with `everything`, else dead letters."),
    ] = None
    everything: Annotated[
        bool, Meta(description="Send all events again; else those only of which a dead letter is open.")
    ] = False
    dry_run: bool = True


class RedriveNow(msgspec.Struct, frozen=True):
    """What was sent again, or would be."""

    dry_run: bool
    requests: int
    events: Annotated[int, Meta(description="Of the requests, each once.")]
    letters: Annotated[int, Meta(description="Open dead letters of these events; or how many were redriven.")]
    failed: Annotated[int, Meta(description="Letters that could not be redriven, and stay open.")]
    others: Annotated[int, Meta(description="Events without an open letter; or how many of them were sent.")]
    before: Annotated[str, Meta(description="The number below which the requests are: later ones are not meant.")]


def deliveries(asked: Asked[DeliveriesParameters, None]) -> DeliveriesNow:
    """Return the newest requests."""
    given = asked.parameters
    settings = settings_of(asked.site, given.stream)
    with about(settings.stream):
        page = listed(settings, _filter(given, before=told(given.before)), given.limit)
    counts = [CountNow(c.became.value, c.status_class, c.requests, c.events) for c in page.counts]  # type: ignore[arg-type]
    return DeliveriesNow(settings.stream, page.kept.since, counts, [_delivery(one) for one in page.deliveries])


def _filter(
    given: DeliveriesParameters | DeliveriesAgain, *, before: int | None = None, numbers: list[int] | None = None
) -> Filter:
    outcome, status, event = told(given.outcome), told(given.status), told(given.event)
    event_id = number_of(event) if isinstance(event, str) else event
    return Filter(
        since=moment_of(told(given.since)),
        until=moment_of(told(given.until)),
        became=[] if outcome is None else [Became(outcome)],
        classes=[] if status is None else [status],
        event_id=event_id,
        content=given.content,
        numbers=numbers or [],
        before=before,
    )


def delivery(asked: Asked[DeliveryParameters, None]) -> DeliveryNow:
    """Return one request."""
    settings, number = settings_of(asked.site, asked.parameters.stream), asked.parameters.number
    with about(settings.stream):
        found = one_delivery(settings, number)
    if found is None:
        raise Refusal(404, "no-delivery", f"Request {number} is not kept, or not any more.")
    return _delivery(found)


def _delivery(one: Delivery) -> DeliveryNow:
    return DeliveryNow(
        one.number, one.begun_at, one.seconds, one.request_id, list(one.ids), one.tries, one.is_probe,
        one.became.value, one.status, one.reason, one.response, one.body, one.body_bytes, one.by,
    )  # fmt: skip


def test(asked: Asked[Parameters, TestWanted]) -> DeliveryNow:
    """Send one event to the partner now."""
    settings = settings_of(asked.site, asked.body.stream)
    with about(settings.stream):
        return _delivery(tested(settings, asked.who, number_of(asked.body.event)))


def redrive(asked: Asked[Parameters, DeliveriesAgain]) -> RedriveNow:
    """Send events of requests again, or count what would be sent."""
    wanted = asked.body
    settings = settings_of(asked.site, wanted.stream)
    chosen = _filter(wanted, numbers=list(map(int, wanted.numbers)), before=number_of(wanted.before))
    with about(settings.stream):
        if wanted.dry_run:
            found = again.select(settings, chosen)
            counts = found.requests, len(found.events), len(found.letters), 0, len(found.others)
            return RedriveNow(True, *counts, str(found.before))
        found, sent = redriven(
            settings, asked.who, chosen, wanted.why, msgspec.to_builtins(wanted), everything=wanted.everything,
            counted=wanted.counted,
        )  # fmt: skip
    counts = found.requests, len(found.events), sent.letters, sent.failed, sent.others
    return RedriveNow(False, *counts, str(found.before))


OPERATIONS = (
    Operation(
        "GET", f"{PREFIX}/deliveries", "deliveries", "The last requests to the partner, and its answers", DeliveriesNow,
        deliveries, DeliveriesParameters,
    ),
    Operation(
        "GET", f"{PREFIX}/deliveries/{{number}}", "delivery", "One request to the partner, and its answer", DeliveryNow,
        delivery, DeliveryParameters, refusals={404: "It is not kept, or there is no such stream."},
    ),
    Operation(
        "POST", f"{PREFIX}/test-deliveries", "test_delivery", "Send one event to the partner now", DeliveryNow, test,
        body=TestWanted, changes=True,
        refusals={404: "There is no such stream.", 409: "There is no partner, or no such event."},
    ),
    Operation(
        "POST", f"{PREFIX}/delivery-redrives", "redrive_deliveries",
        "Send the events of requests again, or count what would be sent", RedriveNow, redrive, body=DeliveriesAgain,
        changes=True,
        refusals={
            404: "There is no such stream.",
            409: "Too many are meant, or not as many as were counted, or somebody else redrives now.",
        },
    ),
)  # fmt: skip
