"""Twice of what is possible for two minutes: Redis goes first, everybody can see it, and all of it is caught up."""

import subprocess
import time
from collections.abc import Iterator, Mapping

import psycopg

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loops_of
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.progress import EVENTS, LATE
from engagement_platform.domain.status import LoopStatus
from engagement_platform.local.receiver import Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.bench_load import LOOPS, processes
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.streaming import INSERT, wait_for
from engagement_platform_tests.warehouse import source_ids, table_ids

TIMES_TOO_MUCH = 2.0
FIRST_PER_SECOND, FIRST_SECONDS = 20_000, 20.0
"""Offered to find out what is possible."""
EACH_SECONDS = 0.05
CATCH_UP_SECONDS = 600.0


def overload(endpoints: Endpoints, seconds: float) -> list[Figure]:
    """Find out how much is possible, offer twice of that, and wait until all of it is everywhere."""
    with own_place(endpoints, start="earliest") as place, Receiver() as partner:
        variables = environment(endpoints, place.settings.state_dir, place.settings)
        variables |= {"ENGAGEMENT_API_URL": partner.url}
        with processes(variables, LOOPS) as running, Session(place.settings, "soak") as session:
            wait_for(lambda: Leases(session).latest().lease, "the lease", 60)
            return list(_figures(place, partner, session, running, seconds))


def _figures(
    place: Place,
    partner: Receiver,
    session: Session,
    running: Mapping[str, subprocess.Popen[bytes]],
    seconds: float,
) -> Iterator[Figure]:
    _offer(place, session, 100.0, 1.0)
    _await_all(place, partner, session)  # all of it has begun
    before = _tally(session).figures.count(EVENTS)
    possible = (
        _offer(place, session, FIRST_PER_SECOND, FIRST_SECONDS)[-1].figures.count(EVENTS) - before
    ) / FIRST_SECONDS
    _await_all(place, partner, session)
    before = _tally(session).figures.count(EVENTS)
    looks = _offer(place, session, TIMES_TOO_MUCH * possible, seconds)
    done = (looks[-1].figures.count(EVENTS) - before) / seconds
    began = time.monotonic()
    late = _await_all(place, partner, session)
    ids = source_ids(place.source)
    rows, arrived = table_ids(place.settings), {one.event_id for one in partner.deliveries}
    saturated = [look for look in looks if look.state is not None and look.state.kind is Activity.SATURATED]
    yield Figure("possible", possible, "events/s")
    yield Figure("offered", TIMES_TOO_MUCH * possible, "events/s")
    yield Figure("counted meanwhile", done, "events/s", at_least=0.8 * possible)
    yield Figure("of the looks, saturated", 100 * len(saturated) / len(looks), "%", at_least=50)
    yield Figure("everything caught up after", time.monotonic() - began, "s")
    yield Figure("loops that ended, or leases lost", _lost(session, running), at_most=0)
    yield Figure("events that came too late for the window", late, at_most=0)
    yield Figure("missing or doubled in the warehouse", len(set(ids) ^ set(rows)) + len(rows) - len(ids), at_most=0)
    yield Figure("missing at the partner", len(set(ids) - arrived), at_most=0)
    yield Figure("events", len(ids))


def _offer(place: Place, session: Session, rate: float, seconds: float) -> list[LoopStatus]:
    """Commit events at a rate; return how the tally stood, about once a second."""
    looks = list[LoopStatus]()
    due, began = 0, time.monotonic()
    with psycopg.connect(place.source.writer_dsn, autocommit=True) as writer:
        while (passed := time.monotonic() - began) < seconds:
            if (n := int(rate * passed - due)) > 0:
                writer.execute(INSERT.partition(" RETURNING")[0], {"content": None, "n": n})
                due += n
            if passed > len(looks):
                looks.append(_tally(session))
            time.sleep(max(0.0, EACH_SECONDS - (time.monotonic() - began - passed)))
    return [*looks, _tally(session)]


def _tally(session: Session) -> LoopStatus:
    lease = Leases(session).latest().lease
    assert lease is not None
    return loops_of(session, lease.run_id)["tally"]


def _await_all(place: Place, partner: Receiver, session: Session) -> int:
    """Wait until every event is counted, with the partner and in the warehouse; return how many came late."""
    ids = len(source_ids(place.source))
    wait_for(lambda: _tally(session).figures.count(EVENTS) >= ids, "Redis", CATCH_UP_SECONDS)
    wait_for(lambda: partner.state.events >= ids, "the partner", CATCH_UP_SECONDS)
    wait_for(lambda: len(table_ids(place.settings)) >= ids, "the warehouse", CATCH_UP_SECONDS)
    return _tally(session).figures.count(LATE)


def _lost(session: Session, running: Mapping[str, subprocess.Popen[bytes]]) -> int:
    lease = Leases(session).latest()
    return sum(process.poll() is not None for process in running.values()) + lease.epoch - 1
