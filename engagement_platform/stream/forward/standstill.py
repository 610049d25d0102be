"""Why forward delivers nothing, in words for a person, each with a remedy from which it goes on."""

import logging

from engagement_platform.domain.delivery.dispatch import LOOK_AGAIN_SECONDS, Dispatch
from engagement_platform.domain.delivery.gate import BreakerState
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity, LoopState, state_of

log = logging.getLogger("engagement_platform.forward")

_PARTNER = "the partner's API"


class Standstill:
    """Says what keeps a delivery from going on, and logs each change once. `now` is in seconds since 1970."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._said = Activity.STREAMS

    def state(self, now: float) -> LoopState | None:
        """Return why nothing is delivered: until a person has acted, or until the partner is back."""
        dispatch = self._dispatch
        if dispatch.blame.is_refusing:
            error = refused(dispatch)
            return LoopState(Activity.REFUSED, now, _PARTNER, error.what, error.todo)
        if dispatch.blame.stopped:
            return state_of(refused(dispatch), now)
        if dispatch.breaker is not BreakerState.CLOSED:
            return LoopState(Activity.WAITS, now, _PARTNER, dispatch.blame.failing)
        return None

    def log_changes(self, now: float) -> None:
        """Log once why nothing is delivered, and once that it is over."""
        state = self.state(now)
        kind = state.kind if state else Activity.STREAMS
        if kind is not self._said:
            self._said = kind
            if state is None:
                log.info("The partner's API takes events again.")
            elif kind is Activity.WAITS:
                log.warning("The partner's API is down: %s. Events wait in Kafka.", state.reason)
            else:
                log.error("%s %s", state.reason, state.remedy)


def refused(dispatch: Dispatch) -> StreamStopped:
    """Return what is said of a partner that takes nothing, until a person has acted."""
    wait = f"Events wait in Kafka; it is tried every {LOOK_AGAIN_SECONDS:.0f} s."
    right = "Put ENGAGEMENT_API_URL and the other settings of the API right, or ask the partner."
    if not dispatch.blame.is_refusing:
        return StreamStopped(f"The partner's API cannot be used: {dispatch.blame.stopped}.", f"{right} {wait}")
    return StreamStopped(
        f"The partner's API takes none of the events: {dispatch.blame.stopped}.",
        f"{right} {wait} If it refuses them with good reason: engagement-platform forward give-up, which makes dead "
        "letters of them.",
    )


def down(seconds: float) -> StreamStopped:
    """Return what ends a run that was to deliver all there is."""
    return StreamStopped(
        f"The partner's API has not worked for {seconds:.0f} s, and events wait for it.",
        "They are delivered when it works again: start another run then.",
    )


def lost(what: str, since: str) -> StreamStopped:
    """Return what is said when events have expired that the partner has not got; before `since` all are settled."""
    return StreamStopped(
        f"{what} Events that the partner has not got have expired in Kafka.",
        "Go on with the oldest there are: engagement-platform forward restart --at earliest; then read the others from "
        f"the source: engagement-platform backfill --to api --since {since}",
    )


def other_topic(what: str, since: str, *, is_of_replays: bool) -> StreamStopped:
    """Return what is said when the topic is another one than that of the offsets; before `since` all are settled."""
    others = (
        f"repeat the backfills to the partner, and the redrives of letters (with --again), from {since} on"
        if is_of_replays
        else f"read the others from the source: engagement-platform backfill --to api --since {since}"
    )
    return StreamStopped(
        f"{what} What waited for the partner in the old topic is gone with it.",
        "If the topic was recreated on purpose: engagement-platform forward restart --at earliest, which delivers what "
        f"it holds from its beginning; then {others}",
    )
