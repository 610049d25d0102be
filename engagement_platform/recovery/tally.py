"""What an operator does about the views in Redis: let the tally build them anew."""

from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import forget_offsets
from engagement_platform.settings import Settings


def rebuild_views(settings: Settings) -> None:
    """Make the tally build the views anew from Kafka. Readers keep the old ones until the new ones are complete.

    Keys that another program has spoiled, so that the tally could do nothing with them, are removed.
    Raises Unavailable.
    """
    with connect_redis(settings.redis) as client:
        forget_offsets(client, settings.redis.namespace)
