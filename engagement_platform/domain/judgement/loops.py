"""Loops that stand still: who waits for a server, is refused, has stopped, or gives no sign of life."""

from collections.abc import Iterator, Sequence

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.judgement.consequences import DOCTOR, means
from engagement_platform.domain.judgement.partner import is_about_partner, partner_condition
from engagement_platform.domain.judgement.standing import Expected, Standing
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.status import stands_still


def is_still(standing: Standing, loop: Expected, now: float) -> bool:
    """Return whether a loop does not do its work, for whatever reason. `now` is in seconds since 1970."""
    status, lease = standing.loops.get(loop.name), standing.snapshot.lease
    if status is None and lease is not None and lease.drains:
        return False  # loops of a drain have their turn one after the other
    return stands_still(status, standing.pauses.get(loop.name), now)


def standing_still(standing: Standing, still: Sequence[Expected]) -> Iterator[Condition]:
    """Yield one condition for each reason: loops that wait for, or are refused by, the same server share theirs."""
    groups: dict[tuple[Activity | None, str], list[Expected]] = {}
    for loop in still:
        if loop.name in standing.pauses:
            continue
        state = standing.state_of(loop)
        if loop.destination == "partner" and state is not None and is_about_partner(standing, loop, state):
            yield partner_condition(standing, loop, state)
            continue
        kind, subject = (state.kind, state.subject) if state is not None else (None, "")
        shared = kind in (Activity.WAITS, Activity.REFUSED) and subject
        groups.setdefault((kind, subject) if shared else (None, loop.name), []).append(loop)
    for loops in groups.values():
        yield _still(standing, loops)


def _still(standing: Standing, loops: Sequence[Expected]) -> Condition:
    states = [state for loop in loops if (state := standing.state_of(loop)) is not None]
    if not states:
        return _voiceless(standing, loops[0])
    first = min(states, key=lambda state: state.since)
    names = _listed([loop.name for loop in loops])
    reason = first.reason.rstrip(".")
    many = len(loops) > 1
    because = f" ({reason})" if reason else ""
    match first.kind:
        case Activity.WAITS if first.subject:
            form, what = "waits_for_server", f"{names} {'wait' if many else 'waits'} for {first.subject}{because}."
            todo = f"See that {first.subject} runs and can be reached from here; {DOCTOR}. It goes on by itself."
        case Activity.WAITS:
            form, what = "waits", f"{names} waits: {reason}."
            todo = "It goes on by itself. Should it last, see the log of its run in Dagster."
        case Activity.REFUSED:
            form = "refused"
            what = f"{names} {'are' if many else 'is'} refused by {first.subject or 'a server'}{because}."
            todo = first.remedy or f"{DOCTOR}, and names the right that is missing."
        case Activity.STARTS:
            form, what = "starts_for_long", f"{names} is connecting and has not begun yet."
            todo = f"See the log of its run in Dagster; {DOCTOR}."
        case _:
            form, what = "stopped", f"{names} has stopped: {reason or first.kind}."
            todo = first.remedy or "See the log of its run in Dagster, and docs/errors.md for what it says."
    return _loop_condition(standing, loops, first.since, what, todo, form=form, state=first)


def _voiceless(standing: Standing, loop: Expected) -> Condition:
    """Return the condition of a loop that gives no sign of life."""
    status, now = standing.loops.get(loop.name), standing.snapshot.now.timestamp()
    shard = standing.voiceless(loop)
    lease = (standing if shard is None else shard).snapshot.lease
    run = "" if lease is None else lease.run_id
    name = loop.name if shard is None else f"{loop.name} of shard {shard.index}"
    if status is None:
        since = now if lease is None else lease.claimed_at.timestamp()
        form, what = "has_not_begun", f"{name} has not begun in the run that streams."
    else:
        since = now - status.silent_seconds
        form, what = "is_silent", f"{name} has given no sign of life."
    todo = (
        f"Its run is replaced within a minute by one that waits or is launched. Should it last, see the run {run} in "
        "Dagster and whether its machine has processor and memory left."
    )
    return _loop_condition(standing, [loop], since, what, todo, form=form)


def _loop_condition(
    standing: Standing,
    loops: Sequence[Expected],
    since: float,
    what: str,
    todo: str,
    *,
    form: str,
    state: LoopState | None = None,
) -> Condition:
    names = [loop.name for loop in loops]
    is_of_server = state is not None and state.kind in (Activity.WAITS, Activity.REFUSED) and bool(state.subject)
    subject = state.subject if state is not None and is_of_server else names[0]
    is_safe = state is None or state.kind is not Activity.STOPPED
    waiting = standing.waiting(loops)
    return Condition(
        Kind.LOOP_STANDS_STILL,
        Severity.CRITICAL,
        standing.stream,
        subject,
        since,
        what[0].upper() + what[1:],
        means(loops, waiting, is_safe=is_safe),
        todo,
        loops=tuple(names),
        form=form,
        values={
            "loops": ", ".join(names),
            "server": "" if state is None else state.subject,
            "reason": "" if state is None else state.reason,
            "waiting": "" if waiting is None else str(waiting),
        },
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
