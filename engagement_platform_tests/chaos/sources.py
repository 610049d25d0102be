"""Faults of the source that stop the platform: it prints a remedy, and that is what is typed."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from signal import SIGKILL

import psycopg
from psycopg import sql

from engagement_platform.local.postgres import OWNER, Postgres
from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.run import has_all
from engagement_platform_tests.chaos.system import System
from engagement_platform_tests.streaming import wait_for

PATIENCE = 120.0
_COMMAND = re.compile(r"engagement-platform ([a-z-]+(?: [a-z-]+)?(?: --[a-z-]+(?: [^\s,.;:]+)?)*)")

_TABLE = """
LOCK TABLE engagement_events IN ACCESS EXCLUSIVE MODE;
CREATE TABLE engagement_events_copy (LIKE engagement_events INCLUDING ALL);
INSERT INTO engagement_events_copy SELECT * FROM engagement_events;
ALTER SEQUENCE engagement_events_id_seq OWNED BY engagement_events_copy.id;
DROP TABLE engagement_events;
ALTER TABLE engagement_events_copy RENAME TO engagement_events;
GRANT SELECT ON engagement_events TO engagement_reader;
"""
_SEQUENCE = """
LOCK TABLE engagement_events IN ACCESS EXCLUSIVE MODE;
CREATE SEQUENCE engagement_events_other;
SELECT setval('engagement_events_other', (SELECT last_value + 1000 FROM engagement_events_id_seq));
ALTER TABLE engagement_events ALTER COLUMN id SET DEFAULT nextval('engagement_events_other');
DROP SEQUENCE engagement_events_id_seq;
ALTER SEQUENCE engagement_events_other RENAME TO engagement_events_id_seq;
ALTER SEQUENCE engagement_events_id_seq OWNED BY engagement_events.id;
GRANT SELECT ON SEQUENCE engagement_events_id_seq TO engagement_reader;
"""

_EMPTIED = """
LOCK TABLE engagement_events IN ACCESS EXCLUSIVE MODE;
CREATE TEMPORARY TABLE engagement_events_rows ON COMMIT DROP AS SELECT * FROM engagement_events;
TRUNCATE engagement_events;
INSERT INTO engagement_events SELECT * FROM engagement_events_rows;
"""


def printed(system: System) -> Iterator[str]:
    """Yield the commands that `engagement-platform status` tells an operator to run."""
    for condition in system.status().get("conditions", ()):
        for text in (condition["todo"], condition["means"], condition["what"]):
            yield from (found.strip() for found in _COMMAND.findall(text))


def remedied(system: System, command: str) -> str:
    """Wait until the status prints a command that begins like this, type it as it stands there, return what it says."""
    found: list[str] = wait_for(
        lambda: [one for one in printed(system) if one.startswith(command)][:1], f"status to say: {command}", PATIENCE
    )
    said = system.type(found[0])
    system.healed()
    return said


def _executed(system: System, change: Callable[[psycopg.Connection], object]) -> bool:
    """Say whether it was done. Where this one and a writer each hold a lock that the other wants, the writer gives way.

    The server ends whoever first looks for a deadlock. Writers take ids, and with them the sequence's lock, first.
    """
    assert system.writers is not None
    system.writers.settle_forgotten()
    try:
        with psycopg.connect(system.addresses()["admin"]) as owner:
            owner.execute("SET deadlock_timeout = '5s'")  # writers: 1 s; then vacuums are asked to go
            owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
            owner.execute("SET lock_timeout = '15s'")  # the transactions that are open take up to twice 12 s
            change(owner)
    except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
        return False
    return True


def _running(statements: str) -> Callable[[psycopg.Connection], object]:
    return lambda owner: owner.execute(sql.SQL(statements))


def _changed(statements: str) -> Callable[[System, Random], None]:
    def inflict(system: System, luck: Random) -> None:
        wait_for(lambda: _executed(system, _running(statements)), "the change of the source", PATIENCE)
        remedied(system, "checkpoint adopt")

    return inflict


def _emptied(system: System, luck: Random) -> None:
    wait_for(lambda: _executed(system, _running(_EMPTIED)), "the source to be emptied and filled", PATIENCE)
    system.healed()


def _truncated(system: System, luck: Random) -> None:
    """Take all rows away for good, once every sink has them: the ids go on from where they were."""
    wait_for(lambda: _executed(system, lambda owner: _take_away(system, owner)), "the source to be truncated", PATIENCE)
    system.healed()


def _take_away(system: System, owner: psycopg.Connection) -> None:
    """Truncate the table. Nobody writes from the look at the sinks on."""
    owner.execute("LOCK TABLE engagement_events IN SHARE MODE")
    ids = {number for (number,) in owner.execute("SELECT id FROM engagement_events")}
    for sink, condition in has_all(system, ids).items():
        wait_for(condition, f"{sink} to have every event", PATIENCE)
    owner.execute("TRUNCATE engagement_events")
    system.gone |= ids


def _failed_over(system: System, luck: Random) -> None:
    """Let the server come back as a replica with all its rows that was promoted: on another timeline."""
    server = system.servers.all["source"]
    assert isinstance(server, Postgres)
    server.daemon.signal(SIGKILL)
    wait_for(lambda: not server.daemon.is_running, "the end of the source")
    (Path(server._home()) / "data" / "standby.signal").touch()
    server._spawn()
    admin = system.addresses()["admin"]

    def promoted() -> bool:
        try:
            with psycopg.connect(admin, autocommit=True, connect_timeout=2) as connection:
                connection.execute("SELECT pg_promote()")
                return bool(connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,))
        except psycopg.Error:
            return False

    wait_for(promoted, "the replica to be promoted", 60)
    server.start()
    time.sleep(1)
    remedied(system, "checkpoint adopt")


_BUDGETS = {"kafka": 20.0, "redis": 20.0, "warehouse": 30.0, "partner": 40.0}
"""Beyond the remedy: the sensor starts a run that failed more and more slowly."""
_TYPED = "the command that the status prints"


def _of(name: str, what: str, inflict: Callable[[System, Random], None]) -> Fault:
    return Fault(name, what, _TYPED, inflict, 90.0, _BUDGETS, "healed")


FAULTS: tuple[Fault, ...] = (
    _of("swap the table", "the source's table is replaced by a copy with the same ids", _changed(_TABLE)),
    _of("swap the sequence", "the ids come from another sequence", _changed(_SEQUENCE)),
    Fault(
        "empty the table",
        "the source's table is truncated, and its rows are put back, in one transaction",
        "nothing",
        _emptied,
        30.0,
        since="healed",
    ),
    Fault(
        "truncate the table",
        "the source's table is truncated for good, once every sink has its rows",
        "nothing",
        _truncated,
        45.0,
        since="healed",
    ),
    _of("fail over", "the source comes back as a promoted replica with all rows", _failed_over),
)
