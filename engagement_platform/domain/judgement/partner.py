"""A partner that counts as down, or takes nothing."""

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.judgement.consequences import DOCTOR, means
from engagement_platform.domain.judgement.standing import Expected, Standing
from engagement_platform.domain.loop_state import Activity, LoopState, clock
from engagement_platform.domain.progress import BREAKER

PARTNER = "the partner's API"
"""Who forward waits for, as its state names it."""


def is_about_partner(standing: Standing, loop: Expected, state: LoopState) -> bool:
    """Return whether a loop stands still for what the partner answers, or for its silence."""
    status = standing.loops[loop.name]
    is_open = status.figures.choices.get(BREAKER, "closed") != "closed"
    named = state.subject == PARTNER or (
        not state.subject and PARTNER in f"{state.reason[:1].lower()}{state.reason[1:]}"
    )
    return named and (is_open or state.kind is not Activity.STOPPED)


def partner_condition(standing: Standing, loop: Expected, state: LoopState) -> Condition:
    """Return the condition of a partner that counts as down, or takes nothing: with its last answer."""
    reason = state.reason.rstrip(".")
    if state.kind is Activity.WAITS:
        form, what = "partner_is_down", f"The partner's API is down; it answered last: {reason or 'nothing'}."
        todo = "Ask the partner. It is tried with one request every few seconds, and delivery goes on by itself."
    else:
        form, what = "partner_refuses", f"{reason or 'The partner refuses what is sent'}."
        todo = state.remedy or f"Ask the partner, and see that the settings of its API are right; {DOCTOR}."
    waiting = standing.waiting([loop])
    return Condition(
        Kind.BREAKER_OPEN,
        Severity.CRITICAL,
        standing.stream,
        loop.name,
        state.since,
        what,
        f"{means([loop], waiting, is_safe=True)} {_gives_up(standing)}",
        todo,
        "/deliveries",
        (loop.name,),
        form,
        {
            "loops": loop.name,
            "reason": reason,
            "waiting": "" if waiting is None else str(waiting),
            "retry_seconds": f"{standing.retry_seconds:g}",
            "oldest": "" if standing.settled_to is None else clock(standing.settled_to.timestamp()),
        },
    )


def _gives_up(standing: Standing) -> str:
    """Say when the first event is given up: not while the partner is down, for the time of a try stands still then."""
    oldest = (
        ""
        if standing.settled_to is None
        else f" The first of them came to Kafka at {clock(standing.settled_to.timestamp())} or later, and is there "
        "until the topic's retention is over."
    )
    return (
        f"No event is given up meanwhile: each has {standing.retry_seconds:g} s of tries, and time in which the "
        f"partner is down does not count.{oldest}"
    )
