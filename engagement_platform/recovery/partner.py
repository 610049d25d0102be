"""Sends one event to the partner at once, outside of the stream: to see whether it takes events, and what it answers.

The event has the key that it has in the stream, so a partner that keeps the contract counts it once.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from engagement_platform.adapters.partner.client import Partner
from engagement_platform.adapters.platform.deliveries import DeliveryTable, Filter
from engagement_platform.adapters.source.history import messages_of
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.delivery.outcome import Verdict, judge
from engagement_platform.domain.delivery.record import Became, Bodies, Delivery
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.readers import Readers

log = logging.getLogger(__name__)

_MAX_BYTES = 1 << 20


def send_one(settings: Settings, event_id: int | None, who: str) -> Delivery:
    """Send an event of the source, or the last one that the partner took, and keep the request in the record.

    Once the partner was asked, its answer is returned also where the record does not take it: the number is 0 then.
    Raises EngagementError where there is no partner or no such event, SettingsError for a setting that cannot be used,
    and Unavailable.
    """
    if not settings.api.url.get_secret_value():
        raise EngagementError(f"There is no partner: {settings.api.variable('url')} is not set.")
    with DeliveryTable.opened(settings, "test-delivery") as table:
        number = _last_taken(table) if event_id is None else event_id
        delivery = _sent(settings, number, _message(settings, number), who)
        if settings.deliveries.kept == "on":
            _keep(table, delivery)
    return delivery


def _keep(table: DeliveryTable, delivery: Delivery) -> None:
    try:
        table.keep([delivery])
    except Unavailable as error:
        log.warning("The test delivery %s is not kept: %s", delivery.request_id, error)


def _last_taken(table: DeliveryTable) -> int:
    taken: Sequence[Delivery] = table.newest(Filter(became=[Became.DELIVERED]), 1)
    if not taken:
        raise EngagementError("No request that the partner took is kept.", "Say which event to send.")
    return max(taken[0].ids)


def _message(settings: Settings, event_id: int) -> bytes:
    event = messages_of(origin_of(settings), [event_id], _MAX_BYTES, lambda _: 0).get(event_id)
    if event is None or event.value is None:
        why = "The source has no event" if event is None else "Too large to be sent is event"
        raise EngagementError(f"{why} {event_id}.")
    return event.value


def _sent(settings: Settings, event_id: int, value: bytes, who: str) -> Delivery:
    with closing(Partner(settings.api)) as partner:
        partner.disclose(Readers(settings).schema.names, stream_of(settings).user, settings.stream)
        request = partner.request_of([(event_id, value)])
        begun_at, began = datetime.now(UTC), time.monotonic()
        outcome = judge(partner.send(request), begun_at)
    came_of_it = Became.DELIVERED if outcome.verdict is Verdict.DELIVERED else Became.REFUSED
    return Delivery(
        begun_at=begun_at,
        seconds=time.monotonic() - began,
        request_id=request.id,
        ids=(event_id,),
        tries=1,
        became=came_of_it,
        status=outcome.status,
        reason=outcome.reason,
        response=outcome.response,
        body=Bodies(settings.deliveries.body_bytes).kept(request.body, came_of_it, 0.0),
        body_bytes=len(request.body),
        by=who,
    )
