"""Publishes events of the past again, to a topic of their own: for outside readers and the partner's API.

Never to the live topic: an event inside the window would be counted twice.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_replay_topic, ensure_topics, topic_configuration
from engagement_platform.adapters.source.history import Chosen, messages
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.domain.messages import HEADER_TO, TO_API, largest_value, schema_header
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import number_now

_TELL_EVERY = 10_000


def replay(
    settings: Settings,
    chosen: Chosen,
    tell: Callable[[int], None] = lambda _: None,
    *,
    to_api: bool = False,
) -> int:
    """Publish certain events with their original keys; return how many.

    In order for each content; at least once: an interrupted replay that is started again sends its beginning again.
    With `to_api` they are marked for the partner's API, and `forward` delivers them; without it, it skips them. `tell`
    is called with the number sent so far, now and then. Raises Unavailable.
    """
    ensure_topics(settings)
    ensure_replay_topic(settings)
    limit = int(topic_configuration(settings.kafka, settings.topics.replays)["max.message.bytes"])
    records = messages(origin_of(settings), chosen, largest_value(limit), partial(number_now, settings))
    to = ((HEADER_TO, TO_API),) if to_api else ()
    sent = (
        Message(settings.topics.replays, key, value, (schema_header(number), *to)) for number, key, value in records
    )
    return send_all(settings.kafka, _told(sent, tell), limit)


def _told(sent: Iterable[Message], tell: Callable[[int], None]) -> Iterator[Message]:
    for number, message in enumerate(sent, 1):
        yield message
        if number % _TELL_EVERY == 0:
            tell(number)
