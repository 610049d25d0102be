"""Makes the trace of an event of what was read."""

from engagement_platform.domain.trace.facts import Facts
from engagement_platform.domain.trace.sinks import at_partner, in_warehouse
from engagement_platform.domain.trace.trace import Trace
from engagement_platform.domain.trace.upstream import in_kafka, in_source
from engagement_platform.domain.trace.views import in_redis


def trace_of(facts: Facts) -> Trace:
    """Return where an event is."""
    steps = (in_source(facts), in_kafka(facts), in_redis(facts), in_warehouse(facts), at_partner(facts))
    return Trace(facts.stream, facts.event_id, facts.at, steps)
