"""How soon an event is promised to arrive, in seconds from its commit: what lag, alerts, checks and plots are held to.

The one place of these numbers. Destinations are named as `stream.registry` names them.
"""

from collections.abc import Mapping
from typing import Final

KAFKA_SECONDS: Final = 2.0
"""All others read from Kafka. A hand-over and a killed relay cost a second; without them it is 50 ms at most."""
REDIS_SECONDS: Final = 5.0
"""The promise of the platform to whoever reads the views."""
PARTNER_SECONDS: Final = 15.0
"""A request may take that long by its usual timeouts: five seconds to connect, ten for the answer."""
_LOAD_SECONDS: Final = {"delta": 5.0, "bigquery": 15.0}
"""How long a batch takes from its last event to the table, at most; before that it collects events for its time."""

NONE: Final = float("inf")
"""Of a destination that nothing is promised for."""

DESTINATIONS: Final = ("kafka", "redis", "warehouse", "partner")


def promises(warehouse: str, batch_seconds: float) -> Mapping[str, float]:
    """Return destination -> seconds, for a kind of warehouse and the longest age of its batches.

    With the usual batches that is 10 s of Delta Lake and 45 s of BigQuery.
    """
    return {
        "kafka": KAFKA_SECONDS,
        "redis": REDIS_SECONDS,
        "warehouse": batch_seconds + _LOAD_SECONDS[warehouse],
        "partner": PARTNER_SECONDS,
    }
