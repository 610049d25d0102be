"""Connects to everything that forward needs."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.kafka.topics import ensure_replay_topic
from engagement_platform.adapters.platform.deliveries import DeliveryRecord
from engagement_platform.adapters.platform.forwarded import Positions
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Settings
from engagement_platform.stream.dead_letters import DeadLetterWriter
from engagement_platform.stream.forward.topic import Topic
from engagement_platform.stream.registry import loop_named
from engagement_platform.stream.topic_watch import watching

if TYPE_CHECKING:
    from engagement_platform.adapters.partner.client import Partner

log = logging.getLogger("engagement_platform.forward")

SOURCE = "forward"
"""How its dead letters name it."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The connections of one attempt."""

    live: Topic
    replays: Topic
    positions: Positions
    partner: "Partner"
    dead_letters: DeadLetterWriter
    record: DeliveryRecord | None
    """Of the requests, where they are kept."""


@contextmanager
def connected(settings: Settings, shard: Shard = WHOLE) -> Iterator[Clients]:
    """Connect to Kafka, and make the session with the partner, before the claim."""
    from engagement_platform.adapters.partner.client import Partner  # noqa: PLC0415, other loops need no HTTP client

    with ExitStack() as stack:
        partner = stack.enter_context(closing(Partner(settings.api)))
        ensure_replay_topic(settings)
        live, replays = (
            stack.enter_context(closing(GroupReader(settings.kafka, topic, settings.topics.forward_group, shard)))
            for topic in (settings.topics.events, settings.topics.replays)
        )
        clients = Clients(
            Topic(live, only_for_api=False),
            Topic(replays, only_for_api=True),
            stack.enter_context(Positions(settings)),
            partner,
            DeadLetterWriter(settings, SOURCE),
            stack.enter_context(DeliveryRecord(settings)) if settings.deliveries.kept == "on" else None,
        )
        stack.enter_context(watching(settings, loop_named("forward"), log))
        yield clients
