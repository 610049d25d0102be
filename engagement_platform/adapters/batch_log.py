"""The log of batches: which the relay has published, and which each sink has handled, by one id.

A batch is what the relay publishes from one look at the source to the next. Its id is in the messages already: the
header `unseen-at`, when the last look began that saw none of them. So it follows a batch through Kafka to each sink
without another byte; a sink, which takes what has come, names all that it handled at once, with its offsets. The first
batch of a relay has the id of its predecessor's last.

It is off unless ENGAGEMENT_LOG_BATCHES is on: a hundred lines a second, which are printed and not kept in Dagster.
"""

import logging
from collections.abc import Iterable, Mapping

log = logging.getLogger("engagement_batches")
log.setLevel(logging.CRITICAL)

FIELDS = ("batch", "batches", "ids", "offsets", "events", "rows")
"""What such a line may have beside its message."""


def is_on() -> bool:
    """Say whether batches are logged. Cheap: asked for each batch, before anything is put together for its line."""
    return log.isEnabledFor(logging.INFO)


def published(batch: int, ids: list[int]) -> None:
    """Log what the relay has published."""
    log.info("published", extra={"batch": str(batch), "ids": [min(ids), max(ids)], "events": len(ids)})


def handled(what: str, batches: Iterable[object], offsets: Mapping[int, tuple[int, int]], events: int) -> None:
    """Log what a sink has done, with partition -> first and last offset."""
    named = sorted({str(batch) for batch in batches if batch})
    ranges = {str(partition): list(ends) for partition, ends in sorted(offsets.items())}
    log.info(what, extra={"batches": named, "offsets": ranges, "events": events})
