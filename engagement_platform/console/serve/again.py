"""Delivers events of requests again that the record of deliveries has: after a dry run that counts them.

Events of which a dead letter is open go by that letter, so that it is settled. The others, which the partner has had or
is about to get, are read from the source and go beside the stream. All keep their keys: whoever keeps the contract
counts them once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engagement_platform.adapters.platform.deliveries import DeliveryTable, Filter
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.domain.dead_letters import UNSETTLED, Address, Chosen
from engagement_platform.domain.errors import EngagementError
from engagement_platform.history.replay import replay
from engagement_platform.settings import Settings

MOST_EVENTS = 10_000
"""That are sent again together."""
MOST_SENT = 100 * MOST_EVENTS
"""That requests have had, each as often as it was sent: of more it is not asked which they were."""
_SOURCE = "forward"


@dataclass(frozen=True, slots=True)
class Selection:
    """What would be sent again."""

    requests: int
    events: Sequence[int]
    """Each once, ascending."""
    letters: Sequence[Address]
    """The open dead letters of some of these."""
    of_letters: frozenset[int]
    """The events of the letters."""
    before: int = 0
    """The number below which the requests are: those that come meanwhile are not in the selection."""

    @property
    def others(self) -> Sequence[int]:
        """The events that are no open letters."""
        return [event_id for event_id in self.events if event_id not in self.of_letters]


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent again."""

    letters: int
    failed: int
    """Letters that could not be redriven, and stay open."""
    others: int
    """Events that were read from the source; one that is gone there is not among them."""


def select(settings: Settings, chosen: Filter) -> Selection:
    """Return what the chosen requests held, and change nothing. Raises Unavailable; EngagementError for too many."""
    with DeliveryTable.opened(settings, "redrive") as table:
        before = table.next_number() if chosen.before is None else chosen.before
        chosen = replace(chosen, before=before)
        counts = table.counts(chosen)
        requests, sent = sum(one.requests for one in counts), sum(one.events for one in counts)
        if sent > MOST_SENT and chosen.event_id is None:
            raise _too_many(MOST_SENT, requests, ", of repeated requests each time")
        events = table.events(chosen, MOST_EVENTS + 1)
    if len(events) > MOST_EVENTS:
        raise _too_many(MOST_EVENTS, requests)
    if not events:
        return Selection(requests, (), (), frozenset(), before)
    meant = Chosen(sources=(_SOURCE,), event_ids=frozenset(events), states=UNSETTLED)
    with dead_letters_of(settings) as letters:
        found = {letter.address: letter.content.event_id for letter in letters.chosen(meant)}
    ids = frozenset(number for number in found.values() if number is not None)
    return Selection(requests, events, tuple(found), ids, before)


def _too_many(number: int, requests: int, which: str = "") -> EngagementError:
    return EngagementError(
        f"The selection has more than {number:,} events{which}, in {requests:,} requests.",
        "Choose fewer: a shorter time, one outcome, or one content. For whole days there is: "
        "engagement-platform backfill --to api",
    )


def require_counted(selection: Selection, counted: int, *, everything: bool) -> None:
    """Raise EngagementError where not as many events or letters would be sent as somebody was told before."""
    number = len(selection.events if everything else selection.letters)
    if number != counted:
        what = "events" if everything else "dead letters"
        raise EngagementError(
            f"The selection has changed since it was counted: {number:,} {what} in place of {counted:,}."
            " Nothing was sent.",
            "Count it again.",
        )


def send(settings: Settings, selection: Selection, who: str, why: str, *, everything: bool) -> Sent:
    """Redrive the letters of a selection; with `everything` send its other events again, too.

    Raises Unavailable, and EngagementError while somebody else redrives letters.
    """
    done = failed = others = 0
    if selection.letters:
        meant = Chosen(addresses=frozenset(selection.letters), states=UNSETTLED)
        done, failed = redrive(settings, meant, who, why)
    if everything and selection.others:
        others = replay(settings, selection.others, to_api=True)
    return Sent(done, failed, others)
