"""relay: PostgreSQL to Kafka. Every committed event is published exactly once, whatever the order of commits.

The gap ledger (`domain.ledger`) decides what to look for; one Kafka transaction carries the events, the dead letters
and the checkpoint; its producer is fenced, so of two relays only the later can commit. After any failure everything
in memory is dropped and the checkpoint is read again.
"""

import logging

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.producer import Fenced
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.rejection_limit import rejection_limit
from engagement_platform.stream.relay.clients import connected
from engagement_platform.stream.relay.take_over import take_over, wait_for_the_lease
from engagement_platform.stream.supervisor import Supervision, supervise

log = logging.getLogger("engagement_platform.relay")


def run(settings: Settings, control: Control) -> None:
    """Relay until the lease is over or, when draining, until everything committed before is in Kafka.

    Waits for servers that do not answer, and stands still where going on could lose or double events: see
    `stream.supervisor`. Ends quietly when another run has taken over.
    """

    def attempt(supervision: Supervision) -> None:
        try:
            with connected(settings) as clients:
                supervision.claim(clients.source.ping)
                take_over(clients, settings, control, limit).run(supervision)
        except Fenced as error:
            wait_for_the_lease(control, supervision)
            raise Unavailable("Another relay has begun.") from error

    with rejection_limit(settings, "relay") as limit:
        supervise(control, attempt, log=log, count_lag=lambda: backlog(settings))


def backlog(settings: Settings) -> int:
    """Return how many ids the source has above the last checkpoint. Raises EngagementError."""
    with open_checkpoints(settings) as kept, open_source(origin_of(settings)) as source:
        last = kept.last()
        return max(0, source.highest_given() - (last.highest_numbered if last else 0))
