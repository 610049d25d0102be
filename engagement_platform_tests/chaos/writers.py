"""Those who write to the source: the package's generator, which is hostile enough, and what it does not do.

In a process of its own. What they committed is not believed: the source's rows are the truth at the end.
"""

import random
import subprocess
import sys
import threading
from contextlib import suppress

import psycopg

_INSERT = """
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT (SELECT id FROM content ORDER BY id OFFSET %(content)s LIMIT 1), gen_random_uuid(), 'play', clock_timestamp(),
       1000, 'hostile', '{"hostile": true}' FROM generate_series(1, %(n)s)
"""
_RESERVED = """
INSERT INTO engagement_events (id, content_id, event_type, event_ts, duration_ms, device)
SELECT %(id)s, (SELECT id FROM content ORDER BY id LIMIT 1), 'pause', clock_timestamp(), NULL, 'hostile'
"""
LONGEST_SECONDS = 12.0
FORGOTTEN_SECONDS = 2 * LONGEST_SECONDS
"""By then a transaction that is still prepared has no writer any more."""
PREFIX = "chaos-"


def hostile(dsn: str, seed: int, stop: threading.Event) -> None:
    """Commit, late, what others have passed: long transactions, prepared ones, ids taken early, savepoints undone."""
    luck = random.Random(f"hostile {seed}")
    while not stop.is_set():
        with suppress(psycopg.Error):
            _one(dsn, luck, stop)
        stop.wait(luck.uniform(0.1, 1.0))


def _one(dsn: str, luck: random.Random, stop: threading.Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as writer:
        writer.execute("BEGIN")
        (reserved,) = writer.execute("SELECT nextval('engagement_events_id_seq')").fetchone() or (None,)
        content = {"content": luck.randrange(100)}
        writer.execute(_INSERT, content | {"n": luck.randrange(1, 4)})
        writer.execute("SAVEPOINT a")
        writer.execute(_INSERT, content | {"n": 2})
        if luck.random() < 0.5:
            writer.execute("ROLLBACK TO a")
        stop.wait(min(luck.expovariate(0.5), LONGEST_SECONDS))
        if luck.random() < 0.5:
            writer.execute(_RESERVED, {"id": reserved})
        end = "ROLLBACK" if luck.random() < 0.2 else "COMMIT"
        if luck.random() < 0.5:
            name = f"{PREFIX}{luck.randrange(1 << 40)}"
            writer.execute(f"PREPARE TRANSACTION '{name}'")
            stop.wait(min(luck.expovariate(0.5), LONGEST_SECONDS))
            writer.execute(f"{end} PREPARED '{name}'")
        else:
            writer.execute(end)


_PREPARED = """
SELECT gid FROM pg_prepared_xacts
 WHERE database = current_database() AND prepared <= clock_timestamp() - make_interval(secs => %s)
"""


def settle(dsn: str, older_than: float = 0.0) -> None:
    """Commit what was prepared so many seconds ago and then forgotten, because its writer lost the server.

    It keeps its locks, so that nobody could ever change the table.
    """
    with psycopg.connect(dsn, autocommit=True) as writer:
        for (name,) in writer.execute(_PREPARED, [older_than]).fetchall():
            writer.execute(f"COMMIT PREPARED '{name}'")


class Writers:
    """The generator as a process, and hostile writers as threads of another."""

    def __init__(self, dsn: str, seed: int, rate: float, threads: int = 3) -> None:
        self._dsn = dsn
        self._hostile = subprocess.Popen(
            [sys.executable, "-m", __name__, dsn, str(seed), str(threads)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._generators: list[subprocess.Popen[bytes]] = []
        self.seed, self._rate = seed, rate
        self._steady = self.generate(rate)

    def generate(self, rate: float) -> "subprocess.Popen[bytes]":
        """Start one more generator."""
        command = f"--rate {rate} --writers 4 --seed {self.seed} --while-stdin-is-open".split()
        process = subprocess.Popen(
            [sys.executable, "-m", "engagement_platform.local.generator", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={"ENGAGEMENT_LOCAL_WRITER_DSN": self._dsn, "PATH": "/usr/bin:/bin"},
        )
        self._generators.append(process)
        return process

    def keep(self) -> None:
        """Start the generator again where it has ended: a table that is swapped under it is more than it bears."""
        if self._steady.poll() is not None:
            self._steady = self.generate(self._rate)
        self.settle_forgotten()

    def settle_forgotten(self) -> None:
        """Commit what was prepared by writers that have lost the server since."""
        with suppress(psycopg.Error):
            settle(self._dsn, FORGOTTEN_SECONDS)

    def close(self) -> None:
        """End all of them, and what they left prepared."""
        for process in (self._hostile, *self._generators):
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        for process in (self._hostile, *self._generators):
            with suppress(subprocess.TimeoutExpired):
                process.wait(LONGEST_SECONDS)
            process.kill()
            process.wait()
        settle(self._dsn)


def _main(dsn: str, seed: int, threads: int) -> None:
    stop = threading.Event()
    running = [threading.Thread(target=hostile, args=(dsn, seed + n, stop)) for n in range(threads)]
    for thread in running:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in running:
        thread.join()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
