"""Carries out the plans on PostgreSQL, and notes what was committed and when."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import psycopg

from engagement_platform.adapters import sql
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.local.generator.catalogue import catalogue
from engagement_platform.local.generator.plans import (
    Hold,
    Insert,
    InsertUndone,
    Plan,
    ReserveThenInsert,
    Step,
    Workload,
    plans,
)
from engagement_platform.local.generator.sessions import Item, Sessions

CATCH_UP_SECONDS = 2.0


class Pacer:
    """Gives every transaction the time at which it is due, so that `rate` events a second are committed.

    A writer that is late makes up for it, by at most `CATCH_UP_SECONDS`: after an outage there is no flood.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def reserve(self, events: int) -> float:
        """Return the seconds to wait before a transaction with so many events; never negative."""
        with self._lock:
            now = self._clock()
            due = max(self._next, now - CATCH_UP_SECONDS)
            self._next = due + events / self._rate
            return max(due - now, 0.0)

    def give_back(self, events: int) -> None:
        """Take back what was reserved for events that were not committed."""
        with self._lock:
            self._next -= events / self._rate


Connection = psycopg.Connection[tuple[Any, ...]]
Note = Callable[[int, list[int]], None]
"""Takes the time at which a commit returned, in nanoseconds since 1970, and the ids that it made visible."""

_encode = msgspec.json.Encoder().encode
_RETRY_SECONDS = 0.25
PACKAGE = "engagement_platform.local.generator"


def _statement(name: str) -> str:
    return sql.load(PACKAGE, "writer.sql")[name]


def connect(dsn: str) -> Connection:
    """Open a connection that commits each statement by itself. Raises psycopg.OperationalError."""
    connection = psycopg.connect(dsn, autocommit=True, connect_timeout=5, application_name="engagement-generator")
    connection.prepare_threshold = 2
    return connection


def fill_catalogue(dsn: str, seed: int) -> list[Item]:
    """Return the contents, which are made up first when there are none. Raises Unavailable and EngagementError."""
    try:
        with connect(dsn) as connection, connection.transaction():
            return _contents(connection) or _filled(connection, seed)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"The generator cannot write to the source database: {error}",
            "Check that it runs and that ENGAGEMENT_LOCAL_WRITER_DSN leads to it.",
        ) from error
    except psycopg.Error as error:
        raise refused(error) from error


def _filled(connection: Connection, seed: int) -> list[Item]:
    connection.execute(_statement("claim_catalogue"))
    if not _contents(connection):
        with connection.cursor() as cursor:
            cursor.executemany(_statement("add_content"), catalogue(seed, datetime.now(UTC)))
    return _contents(connection)


def _contents(connection: Connection) -> list[Item]:
    return [Item(str(identity), kind, length) for identity, kind, length in connection.execute(_statement("contents"))]


def refused(error: psycopg.Error) -> EngagementError:
    """Return what to say when PostgreSQL answers, but will not write."""
    return EngagementError(
        f"The source database refuses the generator: {error}",
        "The role of ENGAGEMENT_LOCAL_WRITER_DSN needs SELECT and INSERT on content and engagement_events,"
        " and USAGE on the sequence.",
    )


@dataclass(slots=True)
class Outcome:
    """What was written, of what is known to be committed: by one writer, or by all."""

    events: int = 0
    transactions: int = 0
    undone: int = 0
    reconnections: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        return (
            f"Committed {self.events:,} events in {self.transactions:,} transactions within {self.seconds:.1f} s "
            f"({self.events / max(self.seconds, 0.001):,.0f} events/s); rolled back {self.undone:,}."
        )


@dataclass(slots=True)
class Writer:
    """One connection that carries out plans until it is told to stop.

    Only what PostgreSQL has confirmed as committed is noted; a transaction whose outcome is unknown never is.
    """

    dsn: str
    plans: Iterator[Plan]
    pacer: Pacer
    stop: threading.Event
    note: Note
    log: Callable[[str], None]
    outcome: Outcome = field(default_factory=Outcome)
    failure: EngagementError | None = None
    _connection: Connection | None = None

    def run(self) -> None:
        """Write until told to stop, with a new connection when one is lost. A refusal ends everything."""
        try:
            while not self.stop.is_set():
                self._one(next(self.plans))
        except psycopg.Error as error:
            self.failure = refused(error)
            self.stop.set()
        finally:
            self._close()

    def _one(self, plan: Plan) -> None:
        if self.stop.wait(self.pacer.reserve(plan.kept)):
            return
        try:
            ids = self._execute(plan)
            committed_at = time.time_ns()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._lost(plan, error)
            return
        if plan.end == "rollback":
            self.outcome.undone += 1
            return
        self.outcome.transactions += 1
        self.outcome.events += len(ids)
        self.note(committed_at, ids)

    def _execute(self, plan: Plan) -> list[int]:
        """Return the ids of the events that stayed, once the transaction has ended."""
        if self._connection is None:
            self._connection = connect(self.dsn)
        connection = self._connection
        if len(plan.steps) == 1 and isinstance(step := plan.steps[0], Insert) and plan.end == "commit":
            return _insert(connection, step)
        ids: list[int] = []
        connection.execute("BEGIN")
        for step in plan.steps:
            ids += self._step(connection, step)
        connection.execute("COMMIT" if plan.end == "commit" else "ROLLBACK")
        return ids

    def _step(self, connection: Connection, step: Step) -> list[int]:
        match step:
            case Insert():
                return _insert(connection, step)
            case Hold(seconds):
                self.stop.wait(seconds)
            case InsertUndone(events):
                connection.execute("SAVEPOINT undone")
                _insert(connection, Insert(events))
                connection.execute("ROLLBACK TO SAVEPOINT undone")
            case ReserveThenInsert(events, seconds):
                ids = [row[0] for row in connection.execute(_statement("reserve"), (len(events),))]
                self.stop.wait(seconds)
                connection.execute(_statement("insert_reserved"), (_encode(events).decode(), ids))
                return ids
        return []

    def _lost(self, plan: Plan, error: psycopg.Error) -> None:
        self.pacer.give_back(plan.kept)
        if self._connection is not None:
            self.outcome.reconnections += 1
            self.log(f"PostgreSQL is gone ({str(error).strip()}). The generator connects again as soon as it can.")
        self._close()
        self.stop.wait(_RETRY_SECONDS)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


def _insert(connection: Connection, step: Insert) -> list[int]:
    return [row[0] for row in connection.execute(_statement("insert"), (_encode(step.events).decode(),)).fetchall()]


_LAST_TRANSACTIONS_SECONDS = 0.8


def generate(
    dsn: str,
    workload: Workload,
    stop: threading.Event,
    *,
    note: Note = lambda _at, _ids: None,
    log: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Write events until `stop` is set; return within a second of it.

    `note` is called for each committed transaction, from several threads. Raises Unavailable when PostgreSQL does not
    answer at the start, EngagementError when it refuses to write; a loss of connection later is waited out.
    """
    items = fill_catalogue(dsn, workload.seed)
    pacer = Pacer(workload.rate)
    writers = [
        Writer(dsn, _plans(items, workload, number), pacer, stop, note, log) for number in range(workload.writers)
    ]
    threads = [threading.Thread(target=writer.run, daemon=True) for writer in writers]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    stop.wait()
    seconds = time.monotonic() - began
    _join(threads)
    for failure in filter(None, (writer.failure for writer in writers)):
        raise EngagementError(failure.what, failure.todo)
    done = [writer.outcome for writer in writers]
    return Outcome(
        events=sum(one.events for one in done),
        transactions=sum(one.transactions for one in done),
        undone=sum(one.undone for one in done),
        reconnections=sum(one.reconnections for one in done),
        seconds=seconds,
    )


def _plans(items: list[Item], workload: Workload, number: int) -> Iterator[Plan]:
    random = Random(f"writer {number} of {workload.writers}, {workload.seed}")  # noqa: S311
    return plans(random, Sessions(random, items, workload.rate / workload.writers), workload)


def _join(threads: list[threading.Thread]) -> None:
    """Wait for the transactions in hand; a server that does not answer is not waited for."""
    deadline = time.monotonic() + _LAST_TRANSACTIONS_SECONDS
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
